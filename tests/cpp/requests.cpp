// Requests that wait, at one node and at three: values, siblings, counters, sets, scans, merge hooks, the cluster.
#include "nodes.hpp"

#include <set>

#include <cstdlib>
#include <filesystem>

static std::set<std::string> all(const completion &of)
{
    std::set<std::string> values;
    for (bytes value : of.values())
        values.insert(value.str());
    return values;
}

using texts = std::set<std::string>;

TEST(Members, ASnapshotOutlivesItsNode)
{
    std::vector<node> nodes = three_running();
    const quorate::members seen = *nodes[0].members();
    const std::vector<std::uint64_t> counted = *nodes[0].stats();
    nodes.clear();
    const std::vector<quorate_member> all = seen.list();
    ASSERT_EQ(all.size(), 3u);
    EXPECT_EQ(bytes(all[1].name), "B");
    EXPECT_NE(all[0].flags & QUORATE_MEMBER_IS_SELF, 0u);
    EXPECT_EQ(seen.owners("key").size(), 3u);
    EXPECT_TRUE(seen.owners("key", 70000).empty());
    EXPECT_LT(*seen.partition("key"), 256u);
    EXPECT_EQ(seen.partition("key", 16).code(), errc::arg);
    ASSERT_EQ(std::string(quorate_stat_name(0)), "requests");
    EXPECT_GT(counted[0], 0u) << "those of meeting";
}

TEST(Requests, ReadWriteAndDelete)
{
    node one = running();
    EXPECT_EQ(one.get("key").code(), errc::notfound);
    const completion put = one.put("key", "value");
    ASSERT_TRUE(put);
    EXPECT_EQ(put.kind(), QUORATE_OP_PUT);
    EXPECT_EQ(put.asked(), 1u);
    EXPECT_EQ(put.acked(), 1u);
    EXPECT_NE(put.dot().counter, 0u);
    const completion got = one.get("key");
    ASSERT_TRUE(got);
    EXPECT_EQ(got.value(), "value");
    ASSERT_EQ(got.siblings().size(), 1u);
    EXPECT_EQ(got.siblings()[0].dot.counter, put.dot().counter);
    EXPECT_TRUE(one.erase("key", got.context()));
    EXPECT_EQ(one.get("key").code(), errc::notfound);
    EXPECT_EQ(one.get(std::string(70000, 'x')).code(), errc::limit);
    EXPECT_EQ(one.put("key", "value", "no context").code(), errc::context);
    EXPECT_EQ(one.figure(9999).code(), errc::unsupported);
    EXPECT_TRUE(one.figure(QUORATE_FIGURE_READ_ONLY));
    EXPECT_TRUE(one.stop());
    EXPECT_EQ(one.state(), QUORATE_STATE_STOPPED);
    EXPECT_FALSE(one.get("key"));
    EXPECT_EQ(one.stop().code(), errc::state);
}

TEST(Requests, SettingsArrive)
{
    node one = running();
    ASSERT_TRUE(one.put("key", "one", {}, call().ttl(1h)));
    const completion first = one.get("key");
    EXPECT_GT(first.siblings()[0].expires_ms, 0u);
    ASSERT_TRUE(one.put("key", "two"));
    EXPECT_EQ(one.get("key").values().size(), 2u);
    EXPECT_EQ(one.get("key", call().view(QUORATE_VIEW_LATEST)).value(), "two");
    EXPECT_EQ(one.put("key", "three", first.context(), call().blind(QUORATE_BLIND_REFUSE)).code(), errc::changed);
    ASSERT_TRUE(one.put("key", "three", {}, call().blind(QUORATE_BLIND_SUPERSEDE)));
    EXPECT_EQ(all(one.get("key")), texts{"three"});
    EXPECT_FALSE(one.put("key", "four", {}, call().w(2))) << "there is one replica";
    EXPECT_TRUE(one.get("key", call().flags(QUORATE_CALL_NO_CONTEXT)).context().empty());
}

TEST(Requests, CountAndPutNumbers)
{
    node one = running();
    EXPECT_EQ(one.add("n", 10).value().number(), 10);
    EXPECT_EQ(one.add("n", -2, 77).value().number(), 8);
    EXPECT_EQ(one.add("n", -2, 77).value().number(), 8) << "the same id counts once";
    const completion read = one.get("n");
    EXPECT_EQ(read.siblings()[0].kind, QUORATE_TYPE_COUNTER);
    EXPECT_EQ(one.put_number("n", 5, read.context()).value().number(), 5);
    EXPECT_EQ(one.put_number("n", 5, read.context()).value().number(), 5) << "the same again counts once";
}

TEST(Requests, ChangeSets)
{
    node one = running();
    EXPECT_EQ(one.set_add("cart", {"milk", "eggs", "tea"}).count(), 3u);
    const std::vector<bytes> again = {"milk", "rice"};
    EXPECT_EQ(one.set_add("cart", again).count(), 1u);
    EXPECT_EQ(one.set_remove("cart", {"eggs", "salt"}).count(), 1u);
    EXPECT_EQ(all(one.get("cart")), (texts{"milk", "rice", "tea"}));
    EXPECT_EQ(one.get("cart").siblings()[0].kind, QUORATE_TYPE_ELEMENT);
}

TEST(Requests, ScanByPageAndByRange)
{
    node one = running();
    texts written;
    for (int i = 0; i < 60; i++) {
        written.insert("key:" + std::to_string(i));
        ASSERT_TRUE(one.put("key:" + std::to_string(i), "value"));
    }
    ASSERT_TRUE(one.put("other", "value"));
    texts paged;
    completion page = one.scan({}, "key:", {}, 7);
    for (;;) {
        ASSERT_TRUE(page);
        for (bytes key : page.keys())
            EXPECT_TRUE(paged.insert(key.str()).second) << "each key once";
        if (page.context().empty())
            break;
        page = one.scan(page.context(), "key:", {}, 7);
    }
    EXPECT_EQ(paged, written);
    texts ranged;
    auto keys = one.keys("key:", {}, 7);
    for (bytes key : keys)
        ranged.insert(key.str());
    EXPECT_FALSE(keys.code());
    EXPECT_EQ(ranged, written);
    texts matched;
    for (bytes key : one.keys({}, "*er"))
        matched.insert(key.str());
    EXPECT_EQ(matched, texts{"other"});
    EXPECT_EQ(one.scan("no token").code(), errc::context);
    auto broken = one.keys();
    auto at = broken.begin();
    ASSERT_TRUE(one.stop());
    while (at != broken.end())
        ++at;
    EXPECT_TRUE(broken.code()) << "the loop ended early, and says so";
}

TEST(Requests, MergeByAHook)
{
    int alive = 0, calls = 0;
    {
        node one = *node::open(options());
        const auto joined = [held = counted(alive), &calls](bytes key, quorate::array_view<bytes> values) {
            calls++;
            texts sorted;
            for (bytes value : values)
                sorted.insert(value.str());
            std::string all = key.str();
            for (const std::string &value : sorted)
                all += "+" + value;
            return all;
        };
        const auto refusing = [](bytes, quorate::array_view<bytes>) { return std::optional<std::string>(); };
        ASSERT_TRUE(one.merge_register(0, joined));
        ASSERT_TRUE(one.merge_register(1, refusing));
        EXPECT_EQ(one.merge_register(99, joined).code(), errc::arg);
        ASSERT_EQ(alive, 2) << "ours and the node's; the refused one was dropped";
        ASSERT_TRUE(one.start());
        ASSERT_TRUE(one.put("key", "b"));
        ASSERT_TRUE(one.put("key", "a"));
        const completion merged = one.get("key", call().view(QUORATE_VIEW_HOST + 0));
        EXPECT_EQ(merged.value(), "key+a+b");
        EXPECT_NE(merged.flags() & QUORATE_N_MERGED, 0u);
        EXPECT_EQ(one.get("key", call().view(QUORATE_VIEW_HOST + 1)).values().size(), 2u) << "shown as they are";
        const std::string large(1 << 20, 'x');
        ASSERT_TRUE(one.put("key", large));
        calls = 0;
        EXPECT_EQ(one.get("key", call().view(QUORATE_VIEW_HOST + 0)).value().size(), 8 + large.size());
        EXPECT_EQ(calls, 2) << "once more with room";
    }
    EXPECT_EQ(alive, 0);
}

TEST(Requests, KeepADirectory)
{
    std::string directory = (std::filesystem::temp_directory_path() / "quorate-cpp-XXXXXX").string();
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    {
        node one = running(std::move(options().set(QUORATE_OPT_DIR, directory)));
        ASSERT_TRUE(one.put("key", "value", {}, call().dw(1)));
        options same;
        same.set(QUORATE_OPT_DIR, directory);
        EXPECT_EQ(node::open(same).code(), errc::busy);
        ASSERT_TRUE(one.stop());
    }
    std::uint64_t read = 0;
    options again;
    again.set(QUORATE_OPT_DIR, directory);
    again.on_progress([&read](std::uint64_t done, std::uint64_t) { read = done; });
    {
        node one = *node::open(again);
        ASSERT_TRUE(one.start());
        EXPECT_EQ(one.get("key").value(), "value");
        EXPECT_GT(read, 0u) << "the hook was called";
    }
    std::filesystem::remove_all(directory);
}

TEST(Cluster, KeepsBothOfTwoWrites)
{
    std::vector<node> nodes = three_running();
    ASSERT_TRUE(nodes[0].put("basket", "bread"));
    const completion read = nodes[1].get("basket");
    ASSERT_TRUE(nodes[1].put("basket", "butter", read.context()));
    ASSERT_TRUE(nodes[2].put("basket", "cheese", read.context()));
    const completion both = nodes[0].get("basket", call().r(3));
    EXPECT_EQ(all(both), (texts{"butter", "cheese"}));
    ASSERT_TRUE(nodes[0].put("basket", "both", both.context()));
    EXPECT_EQ(all(nodes[2].get("basket")), texts{"both"});
}

TEST(Contexts, AreComparedAndMerged)
{
    node one = running();
    ASSERT_TRUE(one.put("basket", "bread"));
    const completion first = one.get("basket");
    ASSERT_TRUE(one.put("basket", "butter"));
    const completion both = one.get("basket");
    EXPECT_EQ(*quorate::compare_contexts(first.context(), both.context()), quorate::causality::before);
    EXPECT_EQ(*quorate::compare_contexts(both.context(), first.context()), quorate::causality::after);
    EXPECT_EQ(*quorate::compare_contexts({}, {}), quorate::causality::equal);
    EXPECT_EQ(quorate::compare_contexts("context", {}).code(), errc::context);
    const auto merged = one.merge_contexts("basket", {first.context(), both.context(), {}});
    ASSERT_TRUE(one.put("basket", "one", *merged));
    EXPECT_EQ(all(one.get("basket")), texts{"one"});
    EXPECT_TRUE(one.merge_contexts("basket", {})->empty());
    EXPECT_EQ(one.merge_contexts("another", {first.context()}).code(), errc::context);
}

TEST(Cluster, SellsOnBothSidesOfACut)
{
    std::vector<node> nodes = three_running();
    ASSERT_TRUE(nodes[0].put("stock", "10", {}, call().w(3)));
    for (node &each : nodes)
        ASSERT_TRUE(each.isolate(true));
    for (node &each : nodes)
        while (each.get("nothing", call().r(2)).code() != errc::quorum)
            std::this_thread::sleep_for(10ms);
    EXPECT_EQ(nodes[0].add("stock", -2, 1, call().r(1).w(1)).value().number(), 8);
    EXPECT_EQ(nodes[1].add("stock", -3, 2, call().r(1).w(1)).value().number(), 7);
    for (node &each : nodes)
        ASSERT_TRUE(each.isolate(false));
    for (node &each : nodes) {
        completion found = each.get("stock", call().r(3));
        while (!found) {
            std::this_thread::sleep_for(10ms);
            found = each.get("stock", call().r(3));
        }
        EXPECT_EQ(found.value().number(), 5);
    }
}

TEST(Cluster, TakesOrders)
{
    node founder = running(std::move(
        options().set(QUORATE_OPT_NAME, "A").set(QUORATE_OPT_FOUND, 1).set(QUORATE_OPT_PEER_ADDR, "127.0.0.1:0")));
    const completion looked = founder.order(QUORATE_ORDER_LOOK);
    ASSERT_TRUE(looked);
    ASSERT_TRUE(looked.cluster());
    EXPECT_EQ(looked.cluster()->n_members, 1u);
    const std::vector<quorate_member> members = looked.members();
    ASSERT_EQ(members.size(), 1u);
    EXPECT_EQ(bytes(members[0].name), "A");
    EXPECT_EQ(looked.text(QUORATE_TEXT_KEEPERS).text().find("A"), 0u);
    const completion refused = founder.order(QUORATE_ORDER_WEIGHT, "nobody", {}, 2);
    EXPECT_EQ(refused.code(), errc::arg);
    EXPECT_FALSE(refused.text(QUORATE_TEXT_REASON).empty()) << "a failed order says why";
    const completion staged = founder.order(QUORATE_ORDER_ZONE, "A", "cellar");
    ASSERT_TRUE(staged);
    EXPECT_EQ(staged.cluster()->n_staged, 1u);
    EXPECT_NE(staged.text(QUORATE_TEXT_STAGED).text().find("cellar"), std::string_view::npos);
}

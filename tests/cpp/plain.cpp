// What needs no running node: codes, results, bytes, options, and objects that were moved from.
#include "nodes.hpp"

#include <array>
#include <map>

#ifdef QUORATE_HPP_EXCEPTIONS
#include <stdexcept>
#endif

TEST(Options, HaveALogAndClocks)
{
    int alive = 0;
    std::vector<std::string> lines;
    struct simulated {
        counted held;
        std::uint64_t monotonic_ns() const { return 5; }
        std::uint64_t wall_ms() const { return 1000; }
    };
    {
        options with;
        with.set(QUORATE_OPT_MODE, QUORATE_MODE_HOST).clock(simulated{counted(alive)});
        with.on_log(QUORATE_LOG_INFO, [held = counted(alive), &lines](std::uint32_t level, bytes target, bytes text) {
            lines.push_back(std::to_string(level) + " " + target.str() + " " + text.str());
        });
        node one = *node::open(with);
        EXPECT_TRUE(one.stop());
        EXPECT_EQ(alive, 2) << "the options need them";
    }
    EXPECT_EQ(alive, 0);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0], "3 node stopping");
    options refused;
    refused.on_log(9, [held = counted(alive)](std::uint32_t, bytes, bytes) {});
    EXPECT_EQ(refused.check().code(), errc::arg);
    EXPECT_EQ(alive, 0);
}

TEST(Codes, AreThoseOfTheLibrary)
{
    const quorate_status_info *all = nullptr;
    std::size_t n = 0;
    quorate_status_table(&all, &n);
    std::map<std::string, errc> known = {
#define CODE(name) {#name, errc::name}
        CODE(ok), CODE(again), CODE(null), CODE(arg), CODE(type), CODE(unsupported), CODE(state), CODE(reentrant),
        CODE(forked), CODE(panic), CODE(poisoned), CODE(closed), CODE(cancelled), CODE(nomem), CODE(limit), CODE(busy),
        CODE(io), CODE(corrupt), CODE(timeout), CODE(quorum), CODE(notfound), CODE(context), CODE(net), CODE(partial),
        CODE(maybe), CODE(overloaded), CODE(layout), CODE(siblings), CODE(clock), CODE(majority), CODE(full),
        CODE(readonly), CODE(incomplete), CODE(foreign), CODE(changed),
#undef CODE
    };
    EXPECT_EQ(known.size(), n) << "a code of the library is missing in errc";
    for (std::size_t i = 0; i < n; i++) {
        std::string name = all[i].name;
        if (name.rfind("E_", 0) == 0)
            name = name.substr(2);
        for (char &c : name)
            c = static_cast<char>(std::tolower(c));
        ASSERT_TRUE(known.count(name)) << name;
        const std::error_code code = known.at(name);
        EXPECT_EQ(code.value(), all[i].code) << name;
        EXPECT_EQ(code.message(), all[i].text);
        EXPECT_EQ(quorate::is_retriable(code), (all[i].flags & QUORATE_F_RETRIABLE) != 0) << name;
        EXPECT_EQ(quorate::is_uncertain(code), (all[i].flags & QUORATE_F_UNCERTAIN) != 0) << name;
        EXPECT_EQ(quorate::is_fatal(code), (all[i].flags & QUORATE_F_FATAL) != 0) << name;
        EXPECT_EQ(quorate::is_misuse(code), (all[i].flags & QUORATE_F_MISUSE) != 0) << name;
    }
}

TEST(Codes, MeanWhatTheStandardKnows)
{
    EXPECT_EQ(quorate::make_error_code(errc::timeout), std::errc::timed_out);
    EXPECT_EQ(quorate::make_error_code(errc::full), std::errc::no_space_on_device);
    EXPECT_NE(quorate::make_error_code(errc::quorum), std::errc::timed_out);
    EXPECT_FALSE(quorate::make_error_code(errc::ok));
    EXPECT_STREQ(quorate::category().name(), "quorate");
    EXPECT_FALSE(quorate::is_retriable(std::make_error_code(std::errc::timed_out))) << "of another category";
}

TEST(Results, HoldAValueOrAnError)
{
    quorate::result<std::string> good(std::string("yes"));
    ASSERT_TRUE(good);
    EXPECT_EQ(*good, "yes");
    EXPECT_FALSE(good.code());
    quorate::result<std::string> bad{quorate::error(QUORATE_E_ARG)};
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.code(), errc::arg);
    EXPECT_EQ(bad.error().message(), quorate_status_text(QUORATE_E_ARG));
    EXPECT_EQ(std::move(bad).value_or("no"), "no");
    EXPECT_TRUE(quorate::result<void>::of(QUORATE_AGAIN));
    EXPECT_EQ(quorate::result<void>::of(QUORATE_E_BUSY).code(), errc::busy);
}

TEST(ResultsDeathTest, EndTheProgramIfTheyAreNotLookedAt)
{
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_DEATH(std::fputs(quorate::result<std::string>(quorate::error(QUORATE_E_ARG))->c_str(), stderr), "bad argument");
    EXPECT_DEATH(std::fputs(quorate::result<void>().error().message().c_str(), stderr), "no error");
}

TEST(Bytes, AreMadeOfAnythingContiguous)
{
    const std::vector<std::uint8_t> vector = {'a', 0, 'b'};
    const std::array<std::byte, 2> array = {std::byte{1}, std::byte{2}};
    EXPECT_EQ(bytes("text").text(), "text");
    EXPECT_EQ(bytes(std::string("a\0b", 3)).size(), 3u);
    EXPECT_EQ(bytes(vector), std::string_view("a\0b", 3));
    EXPECT_EQ(bytes(array).size(), 2u);
    EXPECT_TRUE(bytes().empty());
    EXPECT_EQ(bytes().text(), "");
    EXPECT_TRUE(bytes("a") < bytes("b"));
    EXPECT_NE(bytes("a"), bytes("b"));
    const quorate_bytes raw = bytes(vector);
    EXPECT_EQ(raw.data, vector.data());
    EXPECT_EQ(bytes(raw).str(), std::string("a\0b", 3));
}

TEST(Bytes, AreNumbersIfTheyAreWhole)
{
    EXPECT_EQ(bytes("-9223372036854775808").number(), INT64_MIN);
    EXPECT_EQ(bytes("5").number(), 5);
    for (const char *other : {"", "5 ", "x", "9223372036854775808"})
        EXPECT_FALSE(bytes(other).number()) << other;
}

TEST(Calls, SetEachMember)
{
    call how;
    how.keyspace(1).r(2).w(3).pr(4).pw(5).dw(6).view(7).blind(8).flags(9).timeout(10ns).ttl(11ms);
    const quorate_call &raw = *how.raw();
    EXPECT_EQ(raw.struct_size, sizeof raw);
    EXPECT_EQ(raw.keyspace, 1u);
    EXPECT_EQ(raw.r, 2u);
    EXPECT_EQ(raw.w, 3u);
    EXPECT_EQ(raw.pr, 4u);
    EXPECT_EQ(raw.pw, 5u);
    EXPECT_EQ(raw.dw, 6u);
    EXPECT_EQ(raw.view, 7u);
    EXPECT_EQ(raw.blind, 8u);
    EXPECT_EQ(raw.flags, 9u);
    EXPECT_EQ(raw.timeout_ns, 10u);
    EXPECT_EQ(raw.ttl_ms, 11u);
    EXPECT_EQ(raw.reserved[0] | raw.reserved[1], 0u);
    EXPECT_EQ(call().timeout(-1ns).raw()->timeout_ns, 1u) << "0 would be the default";
}

TEST(Options, RememberTheFirstRefusal)
{
    options with;
    EXPECT_TRUE(with.check());
    with.set(QUORATE_OPT_N, 3).set(9999, 1).set(QUORATE_OPT_N, "text");
    EXPECT_EQ(with.check().code(), errc::unsupported);
    EXPECT_EQ(node::open(with).code(), errc::unsupported);
    EXPECT_EQ(with.clone().check().code(), errc::unsupported);

    options parsed;
    parsed.parse("sync", "sometimes");
    EXPECT_EQ(parsed.check().code(), errc::arg);
    EXPECT_NE(parsed.check().error().message().find("sometimes"), std::string::npos);
}

TEST(Options, OpenSaysWhatIsWrongInWords)
{
    options with;
    with.add(QUORATE_OPT_MEMBERS, "A").set(QUORATE_OPT_NAME, "stranger");
    const auto opened = node::open(with);
    ASSERT_FALSE(opened);
    EXPECT_GT(opened.error().message().size(), std::strlen(quorate_status_text(opened.code().value())));
}

TEST(Options, DropAProgressHookOnce)
{
    int alive = 0;
    {
        options with;
        with.on_progress([held = counted(alive)](std::uint64_t, std::uint64_t) {});
        EXPECT_EQ(alive, 1);
        options copy = with.clone();
        EXPECT_EQ(alive, 1) << "a clone shares it";
        with.on_progress([held = counted(alive)](std::uint64_t, std::uint64_t) {});
        EXPECT_EQ(alive, 2) << "the clone keeps the first";
        copy = std::move(with);
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    options gone;
    const options taken = std::move(gone);
    gone.on_progress([held = counted(alive)](std::uint64_t, std::uint64_t) {});
    EXPECT_EQ(gone.check().code(), errc::null);
    EXPECT_EQ(alive, 0) << "refused, and dropped all the same";
}

TEST(MovedFrom, OptionsFail)
{
    options one;
    one.set(QUORATE_OPT_N, 3);
    const options other = std::move(one);
    EXPECT_TRUE(other.check());
    EXPECT_EQ(node::open(one).code(), errc::null);
    EXPECT_EQ(one.set(QUORATE_OPT_N, 3).check().code(), errc::null);
    one = options();
    EXPECT_TRUE(one.check()) << "it may be assigned to";
}

TEST(MovedFrom, NodesFail)
{
    node one = *node::open(options());
    node other = std::move(one);
    EXPECT_EQ(other.state(), QUORATE_STATE_OPEN);
    EXPECT_EQ(one.raw(), nullptr);
    EXPECT_EQ(one.start().code(), errc::null);
    EXPECT_EQ(one.stop().code(), errc::null);
    EXPECT_EQ(one.get("key").code(), errc::null);
    EXPECT_EQ(one.put("key", "value").code(), errc::null);
    EXPECT_EQ(one.order(QUORATE_ORDER_LOOK).code(), errc::null);
    EXPECT_EQ(one.submit(request::get("key"), 1).code(), errc::null);
    EXPECT_EQ(one.wait().code(), errc::null);
    EXPECT_EQ(one.step().code(), errc::null);
    EXPECT_EQ(one.address().code(), errc::null);
    EXPECT_EQ(one.figure(QUORATE_FIGURE_RECORDS).code(), errc::null);
    EXPECT_EQ(one.isolate(true).code(), errc::null);
    EXPECT_EQ(one.meet("A", "127.0.0.1:1").code(), errc::null);
    EXPECT_EQ(one.unwatch(1).code(), errc::null);
    EXPECT_EQ(one.cancel(1).code(), errc::null);
    EXPECT_EQ(one.members().code(), errc::null);
    EXPECT_EQ(one.disk_step().code(), errc::null);
    EXPECT_EQ(one.merge_contexts("key", {}).code(), errc::null);
    EXPECT_EQ(one.stats().code(), errc::null);
    EXPECT_LT(one.fd(), 0);
    EXPECT_LT(one.completion_fd(), 0);
    EXPECT_EQ(one.deadline(), std::chrono::steady_clock::time_point::max());
    EXPECT_EQ(one.state(), 0u);
    one.wake();
    quorate::completion_batch batch;
    EXPECT_EQ(one.reap(batch).code(), errc::null);
    auto keys = one.keys();
    EXPECT_TRUE(keys.begin() == keys.end());
    EXPECT_EQ(keys.code(), errc::null);
    int alive = 0;
    const auto hook = [held = counted(alive)](bytes, quorate::array_view<bytes>) { return std::string(); };
    EXPECT_EQ(one.merge_register(0, hook).code(), errc::null);
    EXPECT_EQ(alive, 1) << "only ours is left";
    quorate::dispatcher of_none(one);
    EXPECT_EQ(of_none.poll().code(), errc::null);
    EXPECT_EQ(of_none.run().code(), errc::null);
    EXPECT_EQ(of_none.send(request::get("key")).get().code(), errc::null);
}

TEST(MovedFrom, SelfMovesKeepWhatTheyHad)
{
    node one = running();
    node &same = one;
    one = std::move(same);
    EXPECT_TRUE(one.put("key", "value"));
    completion got = one.get("key");
    completion &same_got = got;
    got = std::move(same_got);
    EXPECT_EQ(got.value(), "value");
    options with;
    options &same_options = with;
    with = std::move(same_options);
    EXPECT_TRUE(node::open(with));
    ASSERT_TRUE(one.submit(request::get("key"), 7));
    quorate::completion_batch batch;
    ASSERT_TRUE(one.wait());
    ASSERT_TRUE(*one.reap(batch));
    quorate::completion_batch &same_batch = batch;
    batch = std::move(same_batch);
    ASSERT_EQ(batch.size(), 1u);
    EXPECT_EQ(batch[0].value(), "value");
}

TEST(MovedFrom, CompletionsAndBatchesAreGivenBackOnce)
{
    node one = running();
    ASSERT_TRUE(one.put("key", "value"));
    completion first = one.get("key");
    completion second = std::move(first);
    EXPECT_EQ(first.code(), errc::null);
    EXPECT_TRUE(first.values().empty() && first.context().empty() && first.value().empty());
    EXPECT_EQ(first.cluster().code(), errc::null);
    EXPECT_TRUE(first.members().empty() && first.changes().empty() && first.keys().empty());
    EXPECT_TRUE(first.text(QUORATE_TEXT_PLAN).empty());
    first = std::move(second);
    EXPECT_EQ(first.value(), "value");
    first = one.get("key");
    EXPECT_EQ(first.value(), "value") << "what it had is given back";

    ASSERT_TRUE(one.submit(request::get("key"), 7));
    quorate::completion_batch batch(4);
    ASSERT_TRUE(one.wait());
    ASSERT_TRUE(*one.reap(batch));
    completion alone = batch.take(0);
    EXPECT_EQ(alone.tag(), 7u);
    EXPECT_TRUE(batch[0].values().empty());
    quorate::completion_batch moved = std::move(batch);
    EXPECT_EQ(batch.size(), 0u);
    EXPECT_EQ(batch.capacity(), 0u);
    EXPECT_FALSE(one.reap(batch)) << "no room";
    moved.clear();
    moved.clear();
    EXPECT_EQ(alone.value(), "value") << "what was taken out lives on";
}

#ifdef QUORATE_HPP_EXCEPTIONS
TEST(Exceptions, CarryCodeAndText)
{
    EXPECT_EQ(quorate::or_throw(quorate::result<int>(5)), 5);
    quorate::or_throw(quorate::result<void>());
    node one = quorate::or_throw(node::open(options()));
    quorate::or_throw(one.start());
    quorate::or_throw(one.put("key", "value"));
    EXPECT_EQ(quorate::or_throw(one.get("key")).value(), "value");
    try {
        quorate::or_throw(one.get("nothing"));
        FAIL();
    } catch (const std::system_error &thrown) {
        EXPECT_EQ(thrown.code(), errc::notfound);
    }
    EXPECT_THROW(quorate::or_throw(one.start()), std::system_error);
    EXPECT_THROW(quorate::or_throw(node::open(options().set(9999, 1))), std::system_error);
}
#endif

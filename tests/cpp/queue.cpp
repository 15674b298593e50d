// Requests that do not wait: by tag and in batches, by callbacks and futures, a change feed, a host's own loop.
#include "nodes.hpp"

#include <atomic>
#include <map>
#include <poll.h>

TEST(Queue, EndsEachOfABatchOnce)
{
    node one = running();
    std::vector<std::string> keys;
    std::vector<quorate_op> ops;
    for (std::uint64_t i = 0; i < 64; i++)
        keys.push_back("key " + std::to_string(i));
    for (std::uint64_t i = 0; i < 64; i++)
        ops.push_back(request::put(keys[i], "value").op(i));
    std::size_t accepted = 0;
    ASSERT_TRUE(one.submit_batch(ops, accepted));
    EXPECT_EQ(accepted, 64u);
    std::map<std::uint64_t, int> ended;
    quorate::completion_batch batch(10);
    for (std::size_t n = 0; n < 64; n += batch.size()) {
        ASSERT_TRUE(*one.wait());
        ASSERT_TRUE(one.reap(batch));
        EXPECT_LE(batch.size(), 10u);
        for (quorate::completion_view done : batch) {
            EXPECT_TRUE(done);
            ended[done.tag()]++;
        }
    }
    EXPECT_EQ(ended.size(), 64u);
    EXPECT_FALSE(*one.reap(batch)) << "nothing is left";
}

TEST(Queue, TakesEveryKindOfRequest)
{
    node one = running();
    ASSERT_TRUE(one.put("read", "value"));
    ASSERT_TRUE(one.put("gone", "value"));
    const completion number = one.add("number", 1);
    const completion read = one.get("number");
    ASSERT_TRUE(one.submit(request::get("read"), 1));
    ASSERT_TRUE(one.submit(request::put("written", "value"), 2));
    ASSERT_TRUE(one.submit(request::erase("gone"), 3));
    ASSERT_TRUE(one.submit(request::add("counted", 4), 4));
    ASSERT_TRUE(one.submit(request::put_number("number", 9, read.context()), 5));
    ASSERT_TRUE(one.submit(request::set_add("set", {"a", "b"}), 6));
    ASSERT_TRUE(one.submit(request::set_remove("no set", {"a"}), 7));
    ASSERT_TRUE(one.submit(request::scan(), 8));
    ASSERT_TRUE(one.submit(request::order(QUORATE_ORDER_LOOK), 9));
    std::map<std::uint64_t, completion> ended;
    quorate::completion_batch batch;
    while (ended.size() < 9) {
        ASSERT_TRUE(*one.wait());
        ASSERT_TRUE(one.reap(batch));
        for (std::size_t i = 0; i < batch.size(); i++) {
            const std::uint64_t tag = batch[i].tag();
            ended[tag] = batch.take(i);
        }
    }
    batch.clear();
    for (const auto &[tag, done] : ended)
        EXPECT_TRUE(done) << tag << ": " << done.code().message();
    EXPECT_EQ(ended[1].value(), "value");
    EXPECT_EQ(ended[4].value().number(), 4);
    EXPECT_EQ(ended[5].value().number(), 9);
    EXPECT_EQ(ended[6].count(), 2u);
    EXPECT_FALSE(ended[8].keys().empty());
    EXPECT_EQ(ended[9].kind(), QUORATE_OP_CLUSTER);
    EXPECT_EQ(one.get("gone").code(), errc::notfound);
}

// A batch of every kind that can be in one says the same as the requests themselves.
TEST(Queue, OpsAreTheRequests)
{
    node one = running();
    ASSERT_TRUE(one.put("stays", "value"));
    ASSERT_TRUE(one.put("goes", "value"));
    const completion read = one.get("goes");
    const call settings = call().timeout(5s);
    const std::vector<quorate_op> ops = {
        request::get("stays", settings).op(1),
        request::put("new", "value", {}, settings).op(2),
        request::erase("goes", read.context(), settings).op(3),
        request::scan({}, "st", "*ys", 50, settings).op(4),
        request::watch(QUORATE_PARTITION_ALL, {}, 5).op(5),
    };
    std::size_t accepted = 0;
    ASSERT_TRUE(one.submit_batch(ops, accepted));
    EXPECT_EQ(accepted, 5u);
    quorate::completion_batch batch;
    std::map<std::uint64_t, completion> ended;
    while (ended.size() < 5) {
        ASSERT_TRUE(*one.wait());
        ASSERT_TRUE(one.reap(batch));
        for (std::size_t i = 0; i < batch.size(); i++) {
            const std::uint64_t tag = batch[i].tag();
            ended.emplace(tag, batch.take(i));
        }
    }
    EXPECT_EQ(ended[1].value(), "value");
    EXPECT_TRUE(ended[2] && ended[3]);
    EXPECT_EQ(one.get("new").value(), "value");
    ASSERT_EQ(ended[4].keys().size(), 1u);
    EXPECT_EQ(ended[4].keys()[0], "stays");
    EXPECT_TRUE(ended[5].has_gap() && ended[5].has_more());
    EXPECT_EQ(one.get("goes").code(), errc::notfound);
}

TEST(Dispatcher, CallsBackOnTheThreadThatDrives)
{
    node one = running();
    quorate::dispatcher requests(one, 8);
    std::map<int, int> called;
    std::size_t run = 0;
    for (int i = 0; i < 100; i++) {
        const auto sent = requests.send(request::put("key " + std::to_string(i), "value"), [&called, i](completion done) {
            EXPECT_TRUE(done) << done.code().message();
            called[i]++;
        });
        ASSERT_TRUE(sent);
    }
    EXPECT_EQ(requests.in_flight(), 100u);
    EXPECT_TRUE(called.empty()) << "nobody has driven it";
    while (run < 100) {
        pollfd readable = {one.completion_fd(), POLLIN, 0};
        ASSERT_EQ(::poll(&readable, 1, -1), 1);
        run += *requests.poll();
    }
    ASSERT_EQ(called.size(), 100u);
    for (const auto &[i, times] : called)
        EXPECT_EQ(times, 1) << i;
    EXPECT_EQ(*requests.poll(), 0u);
    EXPECT_EQ(requests.in_flight(), 0u);
}

TEST(Dispatcher, FillsFuturesOfManyThreads)
{
    node one = running();
    quorate::dispatcher requests(one);
    std::thread driver([&] { EXPECT_TRUE(requests.run()); });
    std::vector<std::thread> senders;
    for (int sender = 0; sender < 4; sender++)
        senders.emplace_back([&, sender] {
            for (int i = 0; i < 50; i++) {
                const std::string key = std::to_string(sender) + " " + std::to_string(i);
                EXPECT_TRUE(requests.send(request::put(key, key)).get());
                EXPECT_EQ(requests.send(request::get(key)).get().value(), bytes(key));
            }
        });
    for (std::thread &sender : senders)
        sender.join();
    requests.quit();
    driver.join();
}

TEST(Dispatcher, SendsFromCallbacksAndTakesMoveOnlyOnes)
{
    node one = running();
    quorate::dispatcher requests(one);
    auto owned = std::make_unique<int>(5);
    int got = 0;
    ASSERT_TRUE(requests.send(request::put("key", "value"), [&, owned = std::move(owned)](completion put) {
        EXPECT_TRUE(put);
        EXPECT_EQ(requests.poll().code(), errc::busy) << "it is driven already";
        const auto sent = requests.send(request::get("key"), [&got, value = *owned](completion found) {
            EXPECT_EQ(found.value(), "value");
            got = value;
        });
        EXPECT_TRUE(sent);
    }));
    while (got == 0)
        ASSERT_TRUE(requests.poll());
    EXPECT_EQ(got, 5);
}

TEST(Dispatcher, RefusedIsNotCalledAndLeftIsCalledOnce)
{
    node one = running();
    int alive = 0, called = 0;
    std::future<completion> left, left_write;
    {
        quorate::dispatcher requests(one);
        const std::string long_key(70000, 'x');
        const auto count = [&called](completion) { called++; };
        const auto refused = requests.send(request::get(long_key), [held = counted(alive), count](completion done) {
            count(std::move(done));
        });
        EXPECT_EQ(refused.code(), errc::limit);
        EXPECT_EQ(alive, 0);
        EXPECT_EQ(requests.in_flight(), 0u);
        EXPECT_EQ(requests.send(request::get(long_key)).get().code(), errc::limit);
        ASSERT_TRUE(requests.send(request::get("key"), [held = counted(alive), &called](completion done) {
            EXPECT_EQ(done.code(), errc::closed);
            called++;
        }));
        left = requests.send(request::get("key"));
        left_write = requests.send(request::put("key", "value"));
    }
    EXPECT_EQ(called, 1);
    EXPECT_EQ(alive, 0);
    const completion read = left.get(), written = left_write.get();
    EXPECT_EQ(read.code(), errc::closed);
    EXPECT_EQ(written.code(), errc::closed);
    EXPECT_EQ(read.flags() & QUORATE_F_UNCERTAIN, 0u);
    EXPECT_NE(written.flags() & QUORATE_F_UNCERTAIN, 0u) << "it may have happened";
    EXPECT_EQ(written.tag(), read.tag() + 1);

    // What it left in the queue is not taken for an answer to another dispatcher's request.
    quorate::dispatcher next(one);
    ASSERT_TRUE(one.put("key", "value"));
    std::future<completion> future = next.send(request::get("key"));
    while (next.in_flight() > 0)
        ASSERT_TRUE(next.poll());
    EXPECT_EQ(future.get().value(), "value");
}

TEST(Dispatcher, StopsWithItsNode)
{
    node one = running();
    std::atomic<int> ended{0};
    quorate::dispatcher requests(one);
    for (int i = 0; i < 200; i++)
        ASSERT_TRUE(requests.send(request::put("key", "value"), [&](completion) { ended++; }));
    ASSERT_TRUE(one.stop());
    requests.quit();
    ASSERT_TRUE(requests.run());
    EXPECT_EQ(ended, 200);
    EXPECT_EQ(requests.send(request::get("key")).get().code(), errc::closed);
}

TEST(Dispatcher, CancelsByTag)
{
    node one = running();
    quorate::dispatcher requests(one);
    int ended = 0;
    const auto sent = requests.send(request::put("key", "value"), [&ended](completion put) {
        EXPECT_TRUE(put || put.code() == errc::cancelled) << "it may have been done by then";
        ended++;
    });
    ASSERT_TRUE(sent);
    ASSERT_TRUE(one.cancel(*sent));
    while (requests.in_flight() > 0)
        ASSERT_TRUE(requests.poll());
    EXPECT_EQ(ended, 1);
    ASSERT_TRUE(one.cancel(*sent)) << "nobody's, and no harm";
}

TEST(Dispatcher, LeavesATagToItsRequestUntilItsCallbackHasReturned)
{
    node one = running();
    quorate::dispatcher requests(one);
    bool has_ended = false;
    std::uint64_t first = 0, second = 0;
    const auto sent = requests.send(request::get("key"), [&](completion done) {
        first = done.tag();
        EXPECT_EQ(requests.in_flight(), 1u) << "it is not over yet";
        second = *requests.send(request::get("key"), [&](completion) { has_ended = true; });
    });
    ASSERT_TRUE(sent);
    while (!has_ended)
        ASSERT_TRUE(requests.poll());
    EXPECT_EQ(first, *sent);
    EXPECT_NE(second, first);
    EXPECT_EQ(requests.in_flight(), 0u);
}

TEST(Dispatcher, EndsItsFeedsWhenItIsDestroyed)
{
    options with;
    with.set(QUORATE_OPT_WINDOW, 2);
    node one = *node::open(with);
    ASSERT_TRUE(one.start());
    {
        quorate::dispatcher requests(one);
        ASSERT_TRUE(requests.send(request::watch(), [](completion) {}));
        EXPECT_EQ(requests.send(request::get("key")).get().code(), errc::overloaded) << "a feed takes two places";
    }
    quorate::dispatcher next(one);
    errc said = errc::overloaded;
    for (int i = 0; i < 2000 && said == errc::overloaded; i++) {
        ASSERT_TRUE(next.poll());
        std::future<completion> future = next.send(request::put("key", "value"));
        if (future.wait_for(0s) == std::future_status::ready) {
            said = static_cast<errc>(future.get().code().value());
            EXPECT_TRUE(one.wait(1ms));
            continue;
        }
        while (next.in_flight() > 0)
            ASSERT_TRUE(next.poll());
        said = static_cast<errc>(future.get().code().value());
    }
    EXPECT_EQ(said, errc::ok);
}

TEST(Feed, TellsChangesUntilItIsEnded)
{
    node one = running();
    quorate::dispatcher requests(one);
    std::map<std::string, std::string> copy;
    int gaps = 0, ends = 0;
    const auto feed = requests.send(request::watch(), [&](completion page) {
        gaps += page.has_gap();
        ends += !page.has_more();
        if (!page.has_more()) {
            EXPECT_EQ(page.code(), errc::cancelled);
        }
        for (const quorate_change &change : page.changes()) {
            const auto values = quorate::values(change);
            copy[bytes(change.key).str()] = values.empty() ? "" : values[0].str();
        }
    });
    ASSERT_TRUE(feed);
    while (gaps == 0)
        ASSERT_TRUE(requests.poll());
    for (int i = 0; i < 20; i++)
        ASSERT_TRUE(one.put("key " + std::to_string(i), std::to_string(i)));
    ASSERT_TRUE(one.erase("key 0", one.get("key 0").context()));
    while (copy.size() < 20 || !copy["key 0"].empty())
        ASSERT_TRUE(requests.poll());
    EXPECT_EQ(copy["key 19"], "19");
    EXPECT_EQ(requests.in_flight(), 1u);
    ASSERT_TRUE(one.unwatch(*feed));
    while (ends == 0)
        ASSERT_TRUE(requests.poll());
    EXPECT_EQ(gaps, 1);
    EXPECT_EQ(requests.in_flight(), 0u);
    EXPECT_EQ(one.unwatch(*feed).code(), errc::arg);
}

TEST(HostLoop, IsDrivenByPoll)
{
    options with;
    with.set(QUORATE_OPT_MODE, QUORATE_MODE_HOST);
    node one = *node::open(with);
    EXPECT_EQ(one.start().code(), errc::state);
    EXPECT_EQ(one.disk_step().code(), errc::state) << "the library has a thread for it";
    EXPECT_EQ(one.get("key").code(), errc::state) << "nobody would drive it meanwhile";
    EXPECT_EQ(one.wait(0ms).code(), errc::state);
    quorate::dispatcher requests(one);
    std::size_t sent = 0, run = 0;
    const auto turn = [&] {
        pollfd fds[2] = {{one.fd(), POLLIN, 0}, {one.completion_fd(), POLLIN, 0}};
        ASSERT_GT(::poll(fds, 2, -1), 0);
        if (fds[0].revents != 0) {
            ASSERT_TRUE(one.step(1));
        }
        if (fds[1].revents != 0)
            run += *requests.poll();
    };
    for (; sent < 50; sent++)
        ASSERT_TRUE(requests.send(request::put(std::to_string(sent), "value"), [](completion put) { EXPECT_TRUE(put); }));
    while (run < sent)
        turn();
    std::future<completion> got = requests.send(request::get("7"));
    for (sent++; run < sent;)
        turn();
    EXPECT_EQ(got.get().value(), "value");
    EXPECT_GT(one.deadline(), std::chrono::steady_clock::time_point());
    one.wake();
    pollfd woken = {one.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&woken, 1, 0), 1);
    EXPECT_TRUE(one.stop());
    EXPECT_EQ(one.step().code(), errc::closed);
}

// What quorate.hpp costs beside the C calls that it makes: reads and writes of one node in memory, 64 at a time, driven
// by this thread (mode host), so that nothing else is in the figures. The ways take turns within one run; each figure is
// the median of the rounds, and "over C" the median of what a round took beyond the C calls of the same round.
#include <quorate.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

static constexpr std::size_t BATCH = 64;
static constexpr int TURNS = 200, ROUNDS = 41;

static void check(bool ok, const char *what)
{
    if (!ok) {
        std::fprintf(stderr, "%s\n", what);
        std::exit(1);
    }
}

static std::vector<std::string> keys;

// Sixty-four requests as a C program makes them.
static void by_c(quorate_node *node, std::uint32_t kind)
{
    static quorate_completion ends[BATCH];
    static quorate_op ops[BATCH];
    std::size_t accepted = 0, done = 0, n = 0;
    static quorate_call call;
    call.struct_size = sizeof call;
    call.blind = QUORATE_BLIND_SUPERSEDE;
    for (std::size_t i = 0; i < BATCH; i++) {
        ops[i].kind = kind;
        ops[i].tag = i;
        ops[i].key.data = reinterpret_cast<const std::uint8_t *>(keys[i].data());
        ops[i].key.len = keys[i].size();
        ops[i].value.data = reinterpret_cast<const std::uint8_t *>("value");
        ops[i].value.len = kind == QUORATE_OP_PUT ? 5 : 0;
        ops[i].call = &call;
    }
    check(quorate_submit(node, ops, sizeof ops[0], BATCH, &accepted) == QUORATE_OK, "submit");
    while (done < BATCH) {
        const std::uint64_t now = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
        const auto wall = std::chrono::system_clock::now().time_since_epoch();
        const auto wall_ms = std::chrono::duration_cast<std::chrono::milliseconds>(wall).count();
        check(quorate_node_step(node, now, static_cast<std::uint64_t>(wall_ms), 0, nullptr) == QUORATE_OK, "step");
        check(quorate_reap(node, ends, sizeof ends[0], BATCH, &n) >= 0, "reap");
        for (std::size_t i = 0; i < n; i++)
            check(ends[i].status == QUORATE_OK && ends[i].tag < BATCH, "end");
        quorate_completions_clear(ends, sizeof ends[0], n);
        done += n;
    }
}

// The same through the header, in one batch.
static void by_batch(quorate::node &node, std::uint32_t kind)
{
    static quorate::completion_batch ended(BATCH);
    static std::vector<quorate_op> ops;
    static const quorate::call how = quorate::call().blind(QUORATE_BLIND_SUPERSEDE);
    ops.clear();
    for (std::size_t i = 0; i < BATCH; i++)
        ops.push_back(kind == QUORATE_OP_PUT ? quorate::request::put(keys[i], "value", {}, how).op(i)
                                             : quorate::request::get(keys[i], how).op(i));
    std::size_t accepted = 0, done = 0;
    check(bool(node.submit_batch(ops, accepted)), "submit");
    while (done < BATCH) {
        check(bool(node.step()), "step");
        check(bool(node.reap(ended)), "reap");
        for (quorate::completion_view end : ended)
            check(end && end.tag() < BATCH, "end");
        done += ended.size();
    }
    ended.clear();
}

// Sends sixty-four through a dispatcher by `send`, and drives until all have ended.
template <class Send> static void by_dispatcher(quorate::node &node, quorate::dispatcher &requests, std::uint32_t kind, Send send)
{
    static const quorate::call how = quorate::call().blind(QUORATE_BLIND_SUPERSEDE);
    for (std::size_t i = 0; i < BATCH; i++) {
        if (kind == QUORATE_OP_PUT)
            send(quorate::request::put(keys[i], "value", {}, how));
        else
            send(quorate::request::get(keys[i], how));
    }
    while (requests.in_flight() > 0) {
        check(bool(node.step()), "step");
        check(bool(requests.poll()), "poll");
    }
}

static double median(std::vector<double> of)
{
    std::nth_element(of.begin(), of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2), of.end());
    return of[of.size() / 2];
}

int main()
{
    auto opened = quorate::node::open(quorate::options().set(QUORATE_OPT_MODE, QUORATE_MODE_HOST));
    check(bool(opened), "open");
    quorate::node &node = *opened;
    for (std::size_t i = 0; i < BATCH; i++)
        keys.push_back("key " + std::to_string(i));
    quorate::dispatcher requests(node, BATCH);
    std::vector<std::future<quorate::completion>> futures;
    const auto callback = [&](const auto &request) {
        check(bool(requests.send(request, [](quorate::completion end) { check(bool(end), "end"); })), "send");
    };
    const auto future = [&](const auto &request) { futures.push_back(requests.send(request)); };
    using way = std::function<void(std::uint32_t)>;
    const std::vector<std::pair<const char *, way>> ways = {
        {"C, one batch", [&](std::uint32_t kind) { by_c(node.raw(), kind); }},
        {"C++, one batch", [&](std::uint32_t kind) { by_batch(node, kind); }},
        {"C++, callbacks", [&](std::uint32_t kind) { by_dispatcher(node, requests, kind, callback); }},
        {"C++, futures", [&](std::uint32_t kind) {
             by_dispatcher(node, requests, kind, future);
             for (auto &each : futures)
                 check(bool(each.get()), "end");
             futures.clear();
         }},
    };
    std::printf("%-8s %-16s %10s %12s\n", "request", "way", "ns each", "over C, ns");
    for (const std::uint32_t kind : {QUORATE_OP_PUT, QUORATE_OP_GET}) {
        std::vector<std::vector<double>> took(ways.size()), over(ways.size());
        for (int round = -1; round < ROUNDS; round++) {
            double c = 0;
            for (std::size_t at = 0; at < ways.size(); at++) {
                const auto start = std::chrono::steady_clock::now();
                for (int turn = 0; turn < TURNS; turn++)
                    ways[at].second(kind);
                const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
                const double each = time.count() / (TURNS * static_cast<double>(BATCH));
                c = at == 0 ? each : c;
                if (round < 0)
                    continue; // to warm up
                took[at].push_back(each);
                over[at].push_back(each - c);
            }
        }
        for (std::size_t at = 0; at < ways.size(); at++)
            std::printf("%-8s %-16s %10.0f %12.0f\n", kind == QUORATE_OP_PUT ? "put" : "get", ways[at].first,
                        median(took[at]), median(over[at]));
    }
}

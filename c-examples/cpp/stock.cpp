// A stock, sold on both sides of a cut: three nodes in one process (mode thread, loopback, records in memory).
//
// There are ten. The nodes are cut off from each other; two are sold at one of them and three at another, each with
// W = 1, and one sale is asked for twice, as if its answer had been lost. When the nodes meet again, every one says five.
#include <quorate.hpp>

#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

// Ends the program with the place and the reason, unless `done` is true.
template <class Done> void check(const char *what, const Done &done)
{
    if (!done) {
        std::cerr << what << ": " << done.code().message() << '\n';
        std::exit(1);
    }
}

// The same, and gives it on.
template <class Done> Done must(const char *what, Done done)
{
    check(what, done);
    return done;
}

static std::vector<quorate::node> open_cluster()
{
    const std::string names[] = {"A", "B", "C"};
    std::vector<quorate::node> nodes;
    for (const std::string &name : names) {
        quorate::options options;
        options.set(QUORATE_OPT_NAME, name).set(QUORATE_OPT_MEMBERS, "A,B,C").set(QUORATE_OPT_PEER_ADDR, "127.0.0.1:0");
        nodes.push_back(*must("open", quorate::node::open(options)));
    }
    for (std::size_t i = 0; i < nodes.size(); i++)
        for (quorate::node &other : nodes)
            check("meet", other.meet(names[i], *must("address", nodes[i].address())));
    for (quorate::node &node : nodes)
        check("start", node.start());
    return nodes;
}

// Waits until each node reaches so many replicas and no more.
static void await_reach(std::vector<quorate::node> &nodes, std::uint16_t replicas)
{
    const auto reaches = [](quorate::node &node, std::uint16_t r) {
        return node.get("nothing", quorate::call().r(r)).code() == quorate::errc::notfound;
    };
    for (quorate::node &node : nodes)
        while (!reaches(node, replicas) || (replicas < 3 && reaches(node, static_cast<std::uint16_t>(replicas + 1))))
            std::this_thread::sleep_for(10ms);
}

static void cut(std::vector<quorate::node> &nodes, bool on)
{
    for (quorate::node &node : nodes)
        check("isolate", node.isolate(on));
    await_reach(nodes, on ? 1 : 3);
}

// Sells at a node that reaches no other, and says how many are left there.
static std::int64_t sell(quorate::node &node, std::int64_t count, std::uint64_t id)
{
    const quorate::completion sold = must("sell", node.add("stock", -count, id, quorate::call().r(1).w(1)));
    const std::int64_t left = sold.value().number().value_or(-1);
    std::cout << "sold " << count << ": acked by " << sold.acked() << ", " << left << " are left here\n";
    return left;
}

int main()
{
    std::vector<quorate::node> nodes = open_cluster();
    await_reach(nodes, 3);
    check("put", nodes[0].put("stock", "10", {}, quorate::call().w(3)));

    cut(nodes, true);
    const std::int64_t left = sell(nodes[0], 2, 1001);
    sell(nodes[1], 3, 1002);
    // The first answer was lost, say: the same id at the same node counts once.
    if (sell(nodes[0], 2, 1001) != left) {
        std::cerr << "it must be answered as before\n";
        return 1;
    }
    cut(nodes, false);

    for (quorate::node &node : nodes) {
        const quorate::completion found = must("get", node.get("stock", quorate::call().r(3)));
        if (found.values().size() != 1 || found.value().number() != 5) {
            std::cerr << "5 must be left\n";
            return 1;
        }
    }
    std::cout << "every node says 5\n";
}

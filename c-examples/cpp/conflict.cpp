// A conflict, made and resolved: three nodes in one process (mode thread, loopback, records in memory).
//
// Two clients read the same version of a key on two nodes and both write. Neither write is lost: the next read shows
// both. Whoever reads them writes back what they mean together, and one version is left.
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
        options.set(QUORATE_OPT_NAME, name)
            .set(QUORATE_OPT_MEMBERS, "A,B,C")
            .set(QUORATE_OPT_PEER_ADDR, "127.0.0.1:0") // a port that the system chooses
            .set(QUORATE_OPT_TIMEOUT_MS, 10000);
        nodes.push_back(*must("open", quorate::node::open(options)));
    }
    // So each is told where the others listen.
    for (std::size_t i = 0; i < nodes.size(); i++)
        for (quorate::node &other : nodes)
            check("meet", other.meet(names[i], *must("address", nodes[i].address())));
    for (quorate::node &node : nodes)
        check("start", node.start());
    return nodes;
}

// Writes, and tries again while the members have not found each other yet: nothing was written then.
static void put(quorate::node &node, quorate::bytes value, quorate::bytes context = {})
{
    quorate::completion done = node.put("basket", value, context);
    while (!done && done.is_retriable()) {
        std::this_thread::sleep_for(10ms);
        done = node.put("basket", value, context);
    }
    check("put", done);
    std::cout << "put " << value.text() << ": acked by " << done.acked() << " of " << done.asked() << '\n';
}

// Reads and prints.
static quorate::completion get(quorate::node &node)
{
    quorate::completion found = must("get", node.get("basket"));
    std::cout << "get:";
    for (quorate::bytes value : found.values())
        std::cout << ' ' << value.text();
    std::cout << '\n';
    return found;
}

static bool has(const quorate::completion &found, quorate::bytes wanted)
{
    for (quorate::bytes value : found.values())
        if (value == wanted)
            return true;
    return false;
}

int main()
{
    std::vector<quorate::node> nodes = open_cluster();
    put(nodes[0], "bread");

    // Two clients go on from the same read, on two nodes.
    const quorate::completion read = get(nodes[1]);
    put(nodes[1], "butter", read.context());
    put(nodes[2], "cheese", read.context());

    const quorate::completion both = get(nodes[0]);
    if (both.values().size() != 2 || !has(both, "butter") || !has(both, "cheese")) {
        std::cerr << "both writes must be there\n";
        return 1;
    }

    // What they mean together is for the program to say; the context says which versions it saw.
    put(nodes[0], "both", both.context());
    const quorate::completion last = get(nodes[2]);
    if (last.values().size() != 1 || last.value() != "both") {
        std::cerr << "one version must be left\n";
        return 1;
    }
    std::cout << "resolved\n";
}

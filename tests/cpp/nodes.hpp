// Nodes for the tests of quorate.hpp, and counting what hooks leave behind.
#pragma once

#include <quorate.hpp>

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

using quorate::bytes;
using quorate::call;
using quorate::completion;
using quorate::errc;
using quorate::node;
using quorate::options;
namespace request = quorate::request;
using namespace std::chrono_literals;

// A running node, alone, with records in memory.
inline node running(options &&with = options())
{
    auto opened = node::open(with);
    EXPECT_TRUE(opened) << opened.code().message();
    EXPECT_TRUE(opened->start());
    return *std::move(opened);
}

// Three that have found each other.
inline std::vector<node> three_running()
{
    const std::string names[] = {"A", "B", "C"};
    std::vector<node> nodes;
    for (const std::string &name : names) {
        options with;
        with.set(QUORATE_OPT_NAME, name).set(QUORATE_OPT_MEMBERS, "A,B,C").set(QUORATE_OPT_PEER_ADDR, "127.0.0.1:0");
        nodes.push_back(*node::open(with));
    }
    for (std::size_t i = 0; i < nodes.size(); i++)
        for (node &other : nodes)
            EXPECT_TRUE(other.meet(names[i], *nodes[i].address()));
    for (node &each : nodes)
        EXPECT_TRUE(each.start());
    for (node &each : nodes)
        while (each.get("nothing", call().r(3)).code() != errc::notfound)
            std::this_thread::sleep_for(10ms);
    return nodes;
}

// A callable that counts how many of it are alive.
struct counted {
    explicit counted(int &alive) : alive_(&alive) { ++*alive_; }
    counted(const counted &other) : alive_(other.alive_) { ++*alive_; }
    counted &operator=(const counted &) = delete;
    ~counted() { --*alive_; }
    int *alive_;
};

// The least that a C++ program does: a node in this process, records in memory, one value written and read.
#include <quorate.hpp>

#include <iostream>

int main()
{
    auto node = quorate::node::open(quorate::options());
    if (!node || !node->start())
        return 1;
    auto put = node->put("greeting", "hello");
    auto got = node->get("greeting");
    if (!put || !got) {
        std::cerr << (put ? got : put).code().message() << '\n';
        return 1;
    }
    std::cout << got.value().text() << '\n';
}

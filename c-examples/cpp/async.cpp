// Requests that do not wait: a thousand writes in batches of 64, whose completions are reaped together; then the same
// keys read through a dispatcher, by a callback each, and one by a future. One node, records in memory.
#include <quorate.hpp>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

static void check(bool ok, const char *what, const std::error_code &why = {})
{
    if (!ok) {
        std::cerr << what << ": " << why.message() << '\n';
        std::exit(1);
    }
}

// Writes by tag. A batch goes to the node in one call, and what has ended comes back in one.
static void write_all(quorate::node &node, const std::vector<std::string> &keys)
{
    quorate::completion_batch ended(64);
    std::size_t sent = 0, done = 0;
    while (done < keys.size()) {
        std::vector<quorate_op> ops;
        for (std::size_t at = sent; at < keys.size() && at < sent + 64; at++)
            ops.push_back(quorate::request::put(keys[at], "value").op(at)); // the tag comes back in the completion
        std::size_t accepted = 0;
        const auto submitted = node.submit_batch(ops, accepted);
        // A full window is no failure: the rest is sent when something has ended.
        check(submitted || submitted.code() == quorate::errc::overloaded, "submit", submitted.code());
        sent += accepted;
        check(bool(node.wait()) && bool(node.reap(ended)), "reap");
        for (quorate::completion_view put : ended)
            check(bool(put), keys[put.tag()].c_str(), put.code());
        done += ended.size();
    }
}

int main()
{
    auto node = quorate::node::open(quorate::options());
    check(node && node->start(), "start", node.code());
    std::vector<std::string> keys;
    for (int at = 0; at < 1000; at++)
        keys.push_back("key " + std::to_string(at));
    write_all(*node, keys);

    quorate::dispatcher requests(*node);
    std::thread driver([&] { check(bool(requests.run()), "run"); });
    std::atomic<int> read{0};
    for (const std::string &key : keys) {
        const auto sent = requests.send(quorate::request::get(key), [&](quorate::completion got) {
            check(got && got.value() == "value", "get", got.code()); // on the thread that drives
            read++;
        });
        check(bool(sent), "send", sent.code());
    }
    // The last one by a future, which another thread than the driver may wait for.
    const quorate::completion last = requests.send(quorate::request::get(keys.back())).get();
    check(last && last.value() == "value", "future", last.code());

    check(bool(node->stop()), "stop"); // every request that was accepted has its completion
    requests.quit();
    driver.join();
    check(read == 1000, "each callback is called once");
    std::cout << "1000 written in batches, " << read << " read by callbacks, 1 by a future\n";
}

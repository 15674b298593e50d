/*
 * quorate for C++17 and newer: what quorate.h has, in types that give back what they own. The four quorate_net_ functions of
 * mode packet, and names and versions, are called as they are (node.raw()).
 *
 * - Nothing here throws but std::bad_alloc. What can fail returns a result, or a completion, which is false if it failed. With
 *   QUORATE_HPP_EXCEPTIONS defined there is also quorate::or_throw, which turns either into a std::system_error.
 *   The classes are the same with and without it, and need no RTTI.
 * - node, options, completion and completion_batch are moved and not copied. One that was moved from may be assigned to
 *   or destroyed; any call of it fails with errc::null, and does nothing.
 * - Bytes are views (quorate::bytes). What a completion shows lives as long as the completion.
 * - A request is answered in one of four ways. node.get(key) waits, as do its like. A value of the namespace request is
 *   submitted under a tag (node.submit), and its completion is reaped; or it is sent through a dispatcher, which runs a
 *   callback or fills a std::future.
 * - A hook or callback of yours must not throw: std::terminate is called. In one, and in what it destroys, no node and no
 *   options may go away: C frees neither there.
 *
 * The comment of each C function says what it returns, from which threads it may be called, and whether it blocks; its
 * name is given here as "C: quorate_...". Constants, and structs of numbers alone, are those of quorate.h.
 *
 * Long because a program takes it as one file.
 */
#ifndef QUORATE_HPP
#define QUORATE_HPP

#include <quorate.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- Errors ------------------------------------------------------------------------------------------------- */

namespace quorate {

/** The status codes, as std::error_code has them: done.code() == quorate::errc::notfound. C: QUORATE_E_... */
enum class errc : int {
    ok = QUORATE_OK,
    again = QUORATE_AGAIN,
    null = QUORATE_E_NULL,
    arg = QUORATE_E_ARG,
    type = QUORATE_E_TYPE,
    unsupported = QUORATE_E_UNSUPPORTED,
    state = QUORATE_E_STATE,
    reentrant = QUORATE_E_REENTRANT,
    forked = QUORATE_E_FORKED,
    panic = QUORATE_E_PANIC,
    poisoned = QUORATE_E_POISONED,
    closed = QUORATE_E_CLOSED,
    cancelled = QUORATE_E_CANCELLED,
    nomem = QUORATE_E_NOMEM,
    limit = QUORATE_E_LIMIT,
    busy = QUORATE_E_BUSY,
    io = QUORATE_E_IO,
    corrupt = QUORATE_E_CORRUPT,
    timeout = QUORATE_E_TIMEOUT,
    quorum = QUORATE_E_QUORUM,
    notfound = QUORATE_E_NOTFOUND,
    context = QUORATE_E_CONTEXT,
    net = QUORATE_E_NET,
    partial = QUORATE_E_PARTIAL,
    maybe = QUORATE_E_MAYBE,
    overloaded = QUORATE_E_OVERLOADED,
    layout = QUORATE_E_LAYOUT,
    siblings = QUORATE_E_SIBLINGS,
    clock = QUORATE_E_CLOCK,
    majority = QUORATE_E_MAJORITY,
    full = QUORATE_E_FULL,
    readonly = QUORATE_E_READONLY,
    incomplete = QUORATE_E_INCOMPLETE,
    foreign = QUORATE_E_FOREIGN,
    changed = QUORATE_E_CHANGED,
};

} // namespace quorate

namespace std {
template <> struct is_error_code_enum<quorate::errc> : true_type {};
} // namespace std

namespace quorate {

namespace detail {

class status_category final : public std::error_category {
  public:
    const char *name() const noexcept override { return "quorate"; }

    std::string message(int code) const override { return quorate_status_text(code); }

    /* The portable meaning of those that have one. */
    std::error_condition default_error_condition(int code) const noexcept override
    {
        switch (code) {
        case QUORATE_E_ARG: return std::errc::invalid_argument;
        case QUORATE_E_UNSUPPORTED: return std::errc::not_supported;
        case QUORATE_E_CANCELLED: return std::errc::operation_canceled;
        case QUORATE_E_NOMEM: return std::errc::not_enough_memory;
        case QUORATE_E_BUSY: return std::errc::device_or_resource_busy;
        case QUORATE_E_IO: return std::errc::io_error;
        case QUORATE_E_TIMEOUT: return std::errc::timed_out;
        case QUORATE_E_FULL: return std::errc::no_space_on_device;
        case QUORATE_E_READONLY: return std::errc::read_only_file_system;
        default: return {code, *this};
        }
    }
};

/* A result was used without a look at whether there is one: says why there is none, and ends the program. */
[[noreturn]] inline void unusable(const std::string &why) noexcept
{
    std::fprintf(stderr, "quorate: a failed result was used: %s\n", why.c_str());
    std::abort();
}

} // namespace detail

/** The category of all codes of quorate. */
inline const std::error_category &category() noexcept
{
    static const detail::status_category the_category;
    return the_category;
}

/** A status as std::error_code; false for OK. */
inline std::error_code make_error_code(quorate_status status) noexcept { return {status, category()}; }

/** What std::error_code asks for. */
inline std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

/** Whether it may be tried again as it is. C: QUORATE_F_RETRIABLE */
inline bool is_retriable(const std::error_code &code) noexcept
{
    return code.category() == category() && (quorate_status_flags(code.value()) & QUORATE_F_RETRIABLE) != 0;
}

/** Whether a write that ended so may have happened. A completion knows better. C: QUORATE_F_UNCERTAIN */
inline bool is_uncertain(const std::error_code &code) noexcept
{
    return code.category() == category() && (quorate_status_flags(code.value()) & QUORATE_F_UNCERTAIN) != 0;
}

/** Whether the node will not recover by itself. C: QUORATE_F_FATAL */
inline bool is_fatal(const std::error_code &code) noexcept
{
    return code.category() == category() && (quorate_status_flags(code.value()) & QUORATE_F_FATAL) != 0;
}

/** Whether the caller broke a rule of the interface. C: QUORATE_F_MISUSE */
inline bool is_misuse(const std::error_code &code) noexcept
{
    return code.category() == category() && (quorate_status_flags(code.value()) & QUORATE_F_MISUSE) != 0;
}

/** What went wrong. C: quorate_error */
class error {
  public:
    /** Of a call that gives a code alone. */
    explicit error(quorate_status status) noexcept : code_(make_error_code(status)) {}

    /** Of a call that says more. */
    error(quorate_status status, const quorate_error &said)
        : code_(make_error_code(status)), os_errno_(said.os_errno), text_(said.text)
    {
    }

    /** The code. */
    const std::error_code &code() const noexcept { return code_; }

    /** errno of the system call that failed, or 0. */
    int os_errno() const noexcept { return os_errno_; }

    /** It in words. */
    std::string message() const { return text_.empty() ? code_.message() : text_; }

  private:
    std::error_code code_;
    int os_errno_ = 0;
    std::string text_;
};

/** A value, or why there is none. Look before you use it: to use what is not there ends the program with the reason. */
template <class T> class [[nodiscard]] result {
  public:
    /** The value. */
    result(T value) noexcept : held_(std::in_place_index<1>, std::move(value)) {}

    /** Why there is none. */
    result(quorate::error why) noexcept : held_(std::in_place_index<0>, std::move(why)) {}

    /** Whether there is a value. */
    explicit operator bool() const noexcept { return held_.index() == 1; }

    /** The value. */
    T &operator*() & noexcept { return get(); }
    const T &operator*() const & noexcept { return const_cast<result *>(this)->get(); }
    T &&operator*() && noexcept { return std::move(get()); }
    T *operator->() noexcept { return &get(); }
    const T *operator->() const noexcept { return &**this; }

    /** The value, or another one. */
    T value_or(T other) && noexcept { return *this ? std::move(get()) : std::move(other); }

    /** The code; OK if there is a value. */
    std::error_code code() const noexcept { return *this ? std::error_code() : error().code(); }

    /** Why there is no value; not to be asked of one that has a value. */
    const quorate::error &error() const noexcept
    {
        if (*this)
            detail::unusable("there is a value and no error");
        return *std::get_if<0>(&held_);
    }

  private:
    T &get() noexcept
    {
        if (!*this)
            detail::unusable(error().message());
        return *std::get_if<1>(&held_);
    }

    std::variant<quorate::error, T> held_;
};

/** That a call succeeded, or why it did not. */
template <> class [[nodiscard]] result<void> {
  public:
    /** Success. */
    result() noexcept = default;

    /** Why it did not succeed. */
    result(quorate::error why) noexcept : why_(std::move(why)) {}

    /** Of a status: what is not below 0 is success. */
    static result of(quorate_status status) noexcept { return status < 0 ? result(quorate::error(status)) : result(); }

    /** Whether it succeeded. */
    explicit operator bool() const noexcept { return !why_; }

    /** The code; OK if it succeeded. */
    std::error_code code() const noexcept { return why_ ? why_->code() : std::error_code(); }

    /** Why it did not succeed; not to be asked of a success. */
    const quorate::error &error() const noexcept
    {
        if (!why_)
            detail::unusable("there is no error");
        return *why_;
    }

  private:
    std::optional<quorate::error> why_;
};

/* ---- Bytes -------------------------------------------------------------------------------------------------- */

/** A view of bytes, text or not: made of whatever has data() and size(), and of literals. C: quorate_bytes */
class bytes {
  public:
    /** None. */
    constexpr bytes() noexcept : raw_{nullptr, 0} {}

    /** So many from there on. */
    bytes(const void *data, std::size_t size) noexcept : raw_{static_cast<const std::uint8_t *>(data), size} {}

    /** Those of C. */
    constexpr bytes(quorate_bytes raw) noexcept : raw_(raw) {}

    /** A text up to its NUL. */
    bytes(const char *text) noexcept : bytes(text, std::strlen(text)) {}

    /** Those of a std::string, std::string_view, std::vector<std::byte>, std::span<...>. */
    template <class Container, class Element = std::remove_pointer_t<decltype(std::declval<const Container &>().data())>,
              class = std::enable_if_t<sizeof(Element) == 1 && std::is_trivially_copyable_v<Element> &&
                                       !std::is_same_v<Container, bytes>>>
    bytes(const Container &from) noexcept : bytes(static_cast<const void *>(from.data()), from.size())
    {
    }

    const std::uint8_t *data() const noexcept { return raw_.data; }
    std::size_t size() const noexcept { return raw_.len; }
    bool empty() const noexcept { return raw_.len == 0; }
    const std::uint8_t *begin() const noexcept { return raw_.data; }
    const std::uint8_t *end() const noexcept { return raw_.data + raw_.len; }

    /** They as text, a view too. */
    std::string_view text() const noexcept
    {
        return empty() ? std::string_view() : std::string_view(reinterpret_cast<const char *>(raw_.data), raw_.len);
    }

    /** A copy, which may hold any bytes. */
    std::string str() const { return std::string(text()); }

    /** The number that they are in decimal, as counters are shown; none if they are no number of 64 bits. */
    std::optional<std::int64_t> number() const noexcept
    {
        std::int64_t number = 0;
        const std::string_view all = text();
        const auto read = std::from_chars(all.data(), all.data() + all.size(), number);
        if (read.ec != std::errc() || read.ptr != all.data() + all.size())
            return std::nullopt;
        return number;
    }

    /** Those of C. */
    constexpr operator quorate_bytes() const noexcept { return raw_; }

    friend bool operator==(const bytes &a, const bytes &b) noexcept { return a.text() == b.text(); }
    friend bool operator!=(const bytes &a, const bytes &b) noexcept { return !(a == b); }
    friend bool operator<(const bytes &a, const bytes &b) noexcept { return a.text() < b.text(); }

  private:
    quorate_bytes raw_;
};

/** A view of elements that lie in a row, with C++17's means. */
template <class T> class array_view {
  public:
    constexpr array_view() noexcept = default;
    constexpr array_view(const T *data, std::size_t size) noexcept : data_(data), size_(size) {}

    /** Of { "one", "two" }; it lives as long as the call in which it is written. */
    constexpr array_view(std::initializer_list<T> list) noexcept : array_view(list.begin(), list.size()) {}

    /** Of a std::vector, std::array or std::span of T. */
    template <class Container, class = std::enable_if_t<std::is_convertible_v<
                                   decltype(std::declval<const Container &>().data()), const T *>>>
    array_view(const Container &from) noexcept : data_(from.data()), size_(from.size())
    {
    }

    constexpr const T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr const T *begin() const noexcept { return data_; }
    constexpr const T *end() const noexcept { return data_ + size_; }
    constexpr const T &operator[](std::size_t at) const noexcept { return data_[at]; }

  private:
    const T *data_ = nullptr;
    std::size_t size_ = 0;
};

/* What the header takes for granted of quorate.h: a library of other sizes does not compile. */
static_assert(sizeof(quorate_bytes) == 16 && offsetof(quorate_bytes, len) == 8, "quorate_bytes");
static_assert(sizeof(bytes) == sizeof(quorate_bytes) && std::is_standard_layout_v<bytes>, "an array of bytes is one of C's");
static_assert(sizeof(quorate_error) == 256 && offsetof(quorate_error, struct_size) == 0, "quorate_error");
static_assert(offsetof(quorate_error, os_errno) == 8 && offsetof(quorate_error, text) == 16, "quorate_error");
static_assert(sizeof(quorate_clock) == 56 && offsetof(quorate_clock, drop) == 32, "quorate_clock");
static_assert(sizeof(quorate_call) == 56 && offsetof(quorate_call, struct_size) == 0, "quorate_call");
static_assert(offsetof(quorate_call, timeout_ns) == 24 && offsetof(quorate_call, ttl_ms) == 32, "quorate_call");
static_assert(sizeof(quorate_op) == 88 && offsetof(quorate_op, key) == 16 && offsetof(quorate_op, call) == 64, "quorate_op");
static_assert(offsetof(quorate_op, number) == 72 && offsetof(quorate_op, limit) == 80, "quorate_op");
static_assert(sizeof(quorate_dot) == 32, "quorate_dot");
static_assert(sizeof(quorate_sibling) == 72 && offsetof(quorate_sibling, value) == 0, "quorate_sibling");
static_assert(sizeof(quorate_completion) == 120 && offsetof(quorate_completion, result) == 8, "quorate_completion");
static_assert(offsetof(quorate_completion, status) == 76 && offsetof(quorate_completion, flags) == 84, "quorate_completion");
static_assert(std::is_trivially_copyable_v<quorate_completion>, "a completion is moved by copying it and forgetting one");
static_assert(sizeof(quorate_change) == 48 && offsetof(quorate_change, siblings) == 16, "quorate_change");
static_assert(sizeof(quorate_order) == 64 && offsetof(quorate_order, name) == 8, "quorate_order");
static_assert(sizeof(quorate_cluster) == 88 && offsetof(quorate_cluster, phase) == 56, "quorate_cluster");
static_assert(sizeof(quorate_member) == 112 && offsetof(quorate_member, generation) == 48, "quorate_member");

/* ---- Settings of a request ---------------------------------------------------------------------------------- */

/** Settings of one request; what is not set is the default: call().r(1).timeout(50ms). C: quorate_call */
class call {
  public:
    constexpr call() noexcept : raw_{} { raw_.struct_size = sizeof raw_; }

    /** The number of the keyspace. */
    call &keyspace(std::uint16_t number) noexcept { return raw_.keyspace = number, *this; }
    /** Replicas that must answer a read. */
    call &r(std::uint16_t replicas) noexcept { return raw_.r = replicas, *this; }
    /** Replicas that must acknowledge a write. */
    call &w(std::uint16_t replicas) noexcept { return raw_.w = replicas, *this; }
    /** How many of a read's answers must come from primaries, or QUORATE_NONE. */
    call &pr(std::uint16_t primaries) noexcept { return raw_.pr = primaries, *this; }
    /** How many of a write's acknowledgements must come from primaries, or QUORATE_NONE. */
    call &pw(std::uint16_t primaries) noexcept { return raw_.pw = primaries, *this; }
    /** How many replicas must have the write on disk, or QUORATE_NONE. */
    call &dw(std::uint16_t replicas) noexcept { return raw_.dw = replicas, *this; }
    /** How a read shows siblings: QUORATE_VIEW_... */
    call &view(unsigned which) noexcept { return raw_.view = narrowed(which), *this; }
    /** What a write without a context means: QUORATE_BLIND_... */
    call &blind(unsigned which) noexcept { return raw_.blind = narrowed(which), *this; }
    /** QUORATE_CALL_... bits. */
    call &flags(std::uint32_t bits) noexcept { return raw_.flags = bits, *this; }
    /** How long the request may take. */
    call &timeout(std::chrono::nanoseconds time) noexcept
    {
        raw_.timeout_ns = time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 1;
        return *this;
    }
    /** When the value expires. */
    call &ttl(std::chrono::milliseconds time) noexcept
    {
        raw_.ttl_ms = time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 1;
        return *this;
    }

    /** That of C. */
    const quorate_call *raw() const noexcept { return &raw_; }

  private:
    /* What has no place there is a number that C refuses. */
    static std::uint16_t narrowed(unsigned which) noexcept
    {
        return static_cast<std::uint16_t>(which < 0xffff ? which : 0xffff);
    }

    quorate_call raw_;
};

/** Every default. */
inline constexpr call default_call{};

/* ---- Completions -------------------------------------------------------------------------------------------- */

namespace detail {

/* Steps through elements of C and shows of each what Of makes of it. */
template <class Raw, quorate_bytes (*Of)(const Raw &) noexcept> class bytes_range {
  public:
    class iterator {
      public:
        using iterator_category = std::forward_iterator_tag;
        using value_type = bytes;
        using difference_type = std::ptrdiff_t;
        using pointer = const bytes *;
        using reference = bytes;

        iterator() noexcept = default;
        explicit iterator(const Raw *at) noexcept : at_(at) {}
        bytes operator*() const noexcept { return Of(*at_); }
        iterator &operator++() noexcept { return ++at_, *this; }
        iterator operator++(int) noexcept { return iterator(at_++); }
        friend bool operator==(iterator a, iterator b) noexcept { return a.at_ == b.at_; }
        friend bool operator!=(iterator a, iterator b) noexcept { return a.at_ != b.at_; }

      private:
        const Raw *at_ = nullptr;
    };

    explicit bytes_range(array_view<Raw> all) noexcept : all_(all) {}
    iterator begin() const noexcept { return iterator(all_.begin()); }
    iterator end() const noexcept { return iterator(all_.end()); }
    std::size_t size() const noexcept { return all_.size(); }
    bool empty() const noexcept { return all_.empty(); }
    bytes operator[](std::size_t at) const noexcept { return Of(all_[at]); }

  private:
    array_view<Raw> all_;
};

inline quorate_bytes value_of(const quorate_sibling &sibling) noexcept { return sibling.value; }
inline quorate_bytes itself(const quorate_bytes &key) noexcept { return key; }

using values_range = bytes_range<quorate_sibling, value_of>;
using keys_range = bytes_range<quorate_bytes, itself>;

/* Every member of a result, by a function that says which there are. */
template <class T>
std::vector<T> all_of(const quorate_result *of, quorate_status (*one)(const quorate_result *, std::size_t, T *, std::size_t))
{
    std::vector<T> all;
    T next;
    while (of != nullptr && one(of, all.size(), &next, sizeof next) == QUORATE_OK)
        all.push_back(next);
    return all;
}

} // namespace detail

/** The values that a change of a feed shows; they live as long as its completion. */
inline detail::values_range values(const quorate_change &change) noexcept
{
    return detail::values_range({change.siblings, change.n_siblings});
}

/**
 * What a completion says: the part that completion and completion_view have in common. It is true if the request ended
 * with OK. What a failed one may still tell (acked() of a partial write, the siblings where there is no majority) is
 * there all the same. What does not belong to its kind of request is empty.
 */
template <class Self> class completion_access {
  public:
    /** Whether it says OK. */
    explicit operator bool() const noexcept { return raw().status == QUORATE_OK; }
    /** How the request ended. */
    std::error_code code() const noexcept { return make_error_code(raw().status); }
    /** The same as C has it. */
    quorate_status status() const noexcept { return raw().status; }
    /** As given with the request; 0 of one that was waited for. */
    std::uint64_t tag() const noexcept { return raw().tag; }
    /** QUORATE_OP_... */
    std::uint32_t kind() const noexcept { return raw().kind; }
    /** QUORATE_F_... and QUORATE_N_... bits. */
    std::uint32_t flags() const noexcept { return raw().flags; }
    /** Whether the request may be sent again as it is. */
    bool is_retriable() const noexcept { return (raw().flags & QUORATE_F_RETRIABLE) != 0; }
    /** Whether a write may have happened. */
    bool is_uncertain() const noexcept { return (raw().flags & QUORATE_F_UNCERTAIN) != 0; }
    /** errno behind the status, or 0. */
    int os_errno() const noexcept { return raw().os_errno; }
    /** Replicas that had to answer. */
    unsigned asked() const noexcept { return raw().asked; }
    /** Replicas that did. */
    unsigned acked() const noexcept { return raw().acked; }
    /** Of these, on disk. */
    unsigned durable() const noexcept { return raw().durable; }
    /** Of these, fallbacks. */
    unsigned fallbacks() const noexcept { return raw().fallbacks; }
    /** Of a change of a set: how many elements came or went. */
    std::uint64_t count() const noexcept { return raw().count; }
    /** The event of a write, set as soon as one was issued. */
    const quorate_dot &dot() const noexcept { return raw().dot; }
    /** The context for a write that replaces what was read; of a scan the next token, of a feed the place. */
    bytes context() const noexcept { return raw().context; }

    /** The versions that a read shows, with all that is known of them. */
    array_view<quorate_sibling> siblings() const noexcept { return {raw().siblings, raw().n_siblings}; }
    /** Their values alone. */
    detail::values_range values() const noexcept { return detail::values_range(siblings()); }
    /** The first of the values; empty if there is none. */
    bytes value() const noexcept { return raw().n_siblings == 0 ? bytes() : bytes(raw().siblings[0].value); }

    /** The keys of a page of a scan. C: quorate_result_keys */
    detail::keys_range keys() const noexcept
    {
        const quorate_bytes *keys = nullptr;
        std::size_t n = 0;
        if (raw().result == nullptr || quorate_result_keys(raw().result, &keys, &n) != QUORATE_OK)
            n = 0;
        return detail::keys_range({keys, n});
    }

    /** What a page of a feed tells. C: quorate_result_change */
    std::vector<quorate_change> changes() const
    {
        return detail::all_of<quorate_change>(raw().result, quorate_result_change);
    }
    /** Of a feed: whether further completions follow. C: QUORATE_N_MORE */
    bool has_more() const noexcept { return (raw().flags & QUORATE_N_MORE) != 0; }
    /** Of a feed: whether changes before it cannot be told, so that a scan is needed. C: QUORATE_N_GAP */
    bool has_gap() const noexcept { return (raw().flags & QUORATE_N_GAP) != 0; }

    /** How the cluster was when an order was answered. C: quorate_result_cluster */
    result<quorate_cluster> cluster() const noexcept
    {
        quorate_cluster cluster;
        const quorate_status status = quorate_result_cluster(raw().result, &cluster, sizeof cluster);
        if (status != QUORATE_OK)
            return error(status);
        return cluster;
    }
    /** Its members, in the order of their names. C: quorate_result_member */
    std::vector<quorate_member> members() const
    {
        return detail::all_of<quorate_member>(raw().result, quorate_result_member);
    }
    /** A text of the answer to an order: QUORATE_TEXT_... C: quorate_result_text */
    bytes text(std::uint32_t which) const noexcept
    {
        quorate_bytes text = bytes();
        if (quorate_result_text(raw().result, which, &text) != QUORATE_OK)
            return bytes();
        return text;
    }

    /** That of C. */
    const quorate_completion &raw() const noexcept { return static_cast<const Self *>(this)->c_form(); }
};

/** A completion inside a batch; it lives as long as the batch is not filled anew. */
class completion_view : public completion_access<completion_view> {
  public:
    /** Of one that somebody else owns. */
    explicit completion_view(const quorate_completion &of) noexcept : of_(&of) {}

  private:
    friend completion_access<completion_view>;
    const quorate_completion &c_form() const noexcept { return *of_; }

    const quorate_completion *of_;
};

/** The end of one request, with everything that it shows. One that is empty or was moved from says errc::null. */
class completion : public completion_access<completion> {
  public:
    /** An empty one. */
    completion() noexcept : completion(QUORATE_E_NULL, quorate_status_flags(QUORATE_E_NULL)) {}

    /** One that says this alone. */
    completion(quorate_status status, std::uint32_t flags, std::uint64_t tag = 0) noexcept : raw_{}
    {
        raw_.tag = tag;
        raw_.status = status;
        raw_.flags = flags;
    }

    /** Takes what C gave, and leaves it empty. */
    explicit completion(quorate_completion &of) noexcept : raw_(of) { of = quorate_completion{}; }

    completion(completion &&other) noexcept : completion() { std::swap(raw_, other.raw_); }
    completion &operator=(completion &&other) noexcept
    {
        completion taken(std::move(other));
        std::swap(raw_, taken.raw_);
        return *this;
    }
    completion(const completion &) = delete;
    completion &operator=(const completion &) = delete;
    ~completion() { quorate_completions_clear(&raw_, sizeof raw_, 1); }

  private:
    friend completion_access<completion>;
    const quorate_completion &c_form() const noexcept { return raw_; }

    quorate_completion raw_;
};

/** Room for completions that are reaped together and given back together. C: quorate_completions_clear */
class completion_batch {
  public:
    /** Room for so many. */
    explicit completion_batch(std::size_t capacity = 256) : room_(capacity) {}

    completion_batch(completion_batch &&other) noexcept
        : room_(std::move(other.room_)), size_(std::exchange(other.size_, 0))
    {
        other.room_.clear();
    }
    completion_batch &operator=(completion_batch &&other) noexcept
    {
        completion_batch taken(std::move(other));
        room_.swap(taken.room_);
        std::swap(size_, taken.size_);
        return *this;
    }
    completion_batch(const completion_batch &) = delete;
    completion_batch &operator=(const completion_batch &) = delete;
    ~completion_batch() { clear(); }

    /** How many there are. */
    std::size_t size() const noexcept { return size_; }
    /** Whether there is none. */
    bool empty() const noexcept { return size_ == 0; }
    /** How many there can be. */
    std::size_t capacity() const noexcept { return room_.size(); }
    /** One of them, below size(). */
    completion_view operator[](std::size_t at) const noexcept { return completion_view(room_[at]); }

    /** Takes one of them out, to live on its own; what stays says OK and shows nothing. */
    [[nodiscard]] completion take(std::size_t at) noexcept { return completion(room_[at]); }

    /** Gives back what it holds and reaps; room for 0 is refused. node.reap does that. C: quorate_reap */
    quorate_status fill(quorate_node *of) noexcept
    {
        clear();
        return quorate_reap(of, room_.data(), sizeof(quorate_completion), room_.size(), &size_);
    }

    /** Gives back what they own. */
    void clear() noexcept
    {
        quorate_completions_clear(room_.data(), sizeof(quorate_completion), size_);
        size_ = 0;
    }

    /** Steps through them. */
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = completion_view;
        using difference_type = std::ptrdiff_t;
        using pointer = const completion_view *;
        using reference = completion_view;

        explicit iterator(const quorate_completion *at) noexcept : at_(at) {}
        completion_view operator*() const noexcept { return completion_view(*at_); }
        iterator &operator++() noexcept { return ++at_, *this; }
        iterator operator++(int) noexcept { return iterator(at_++); }
        friend bool operator==(iterator a, iterator b) noexcept { return a.at_ == b.at_; }
        friend bool operator!=(iterator a, iterator b) noexcept { return a.at_ != b.at_; }

      private:
        const quorate_completion *at_;
    };
    iterator begin() const noexcept { return iterator(room_.data()); }
    iterator end() const noexcept { return iterator(room_.data() + size_); }

  private:
    std::vector<quorate_completion> room_;
    std::size_t size_ = 0;
};

/* ---- Requests ----------------------------------------------------------------------------------------------- */

/**
 * What can be asked, as values: for node.submit, for a dispatcher, and for batches of quorate_op. They refer to the bytes
 * and settings that they are made of, which must live until the request is submitted, and no longer: everything is
 * copied then.
 */
namespace request {

/** Reads. C: quorate_get */
class get {
  public:
    explicit get(bytes key, const call &how = default_call) noexcept : key_(key), how_(how.raw()) {}
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_get(node, key_, how_, tag);
    }
    quorate_status wait(quorate_node *node, quorate_completion *out) const noexcept
    {
        return quorate_get_sync(node, key_, how_, out, sizeof *out);
    }
    /** It as one of a batch. */
    quorate_op op(std::uint64_t tag) const noexcept
    {
        return {QUORATE_OP_GET, 0, tag, key_, bytes(), bytes(), how_, 0, 0};
    }

  private:
    bytes key_;
    const quorate_call *how_;
};

/** Writes. Without a context the value becomes a sibling, unless the settings say otherwise. C: quorate_put */
class put {
  public:
    put(bytes key, bytes value, bytes context = {}, const call &how = default_call) noexcept
        : key_(key), value_(value), context_(context), how_(how.raw())
    {
    }
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_put(node, key_, value_, context_, how_, tag);
    }
    quorate_status wait(quorate_node *node, quorate_completion *out) const noexcept
    {
        return quorate_put_sync(node, key_, value_, context_, how_, out, sizeof *out);
    }
    /** It as one of a batch. */
    quorate_op op(std::uint64_t tag) const noexcept
    {
        return {QUORATE_OP_PUT, 0, tag, key_, value_, context_, how_, 0, 0};
    }

  private:
    bytes key_, value_, context_;
    const quorate_call *how_;
};

/** Deletes what the context covers. C: quorate_delete */
class erase {
  public:
    explicit erase(bytes key, bytes context = {}, const call &how = default_call) noexcept
        : key_(key), context_(context), how_(how.raw())
    {
    }
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_delete(node, key_, context_, how_, tag);
    }
    quorate_status wait(quorate_node *node, quorate_completion *out) const noexcept
    {
        return quorate_delete_sync(node, key_, context_, how_, out, sizeof *out);
    }
    /** It as one of a batch. */
    quorate_op op(std::uint64_t tag) const noexcept
    {
        return {QUORATE_OP_DELETE, 0, tag, key_, bytes(), context_, how_, 0, 0};
    }

  private:
    bytes key_, context_;
    const quorate_call *how_;
};

/** Counts; with an id, asked again of the same node, once. C: quorate_add */
class add {
  public:
    add(bytes key, std::int64_t by, std::uint64_t id = 0, const call &how = default_call) noexcept
        : key_(key), by_(by), id_(id), how_(how.raw())
    {
    }
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_add(node, key_, by_, id_, how_, tag);
    }
    quorate_status wait(quorate_node *node, quorate_completion *out) const noexcept
    {
        return quorate_add_sync(node, key_, by_, id_, how_, out, sizeof *out);
    }

  private:
    bytes key_;
    std::int64_t by_;
    std::uint64_t id_;
    const quorate_call *how_;
};

/** Puts a number in the place of the one that was read, as the difference; once for a context. C: quorate_put_number */
class put_number {
  public:
    put_number(bytes key, std::int64_t number, bytes context, const call &how = default_call) noexcept
        : key_(key), context_(context), number_(number), how_(how.raw())
    {
    }
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_put_number(node, key_, number_, context_, how_, tag);
    }
    quorate_status wait(quorate_node *node, quorate_completion *out) const noexcept
    {
        return quorate_put_number_sync(node, key_, number_, context_, how_, out, sizeof *out);
    }

  private:
    bytes key_, context_;
    std::int64_t number_;
    const quorate_call *how_;
};

/** Puts elements into a set: set_add("cart", {"milk", "eggs"}). C: quorate_set_add */
class set_add {
  public:
    set_add(bytes key, array_view<bytes> members, const call &how = default_call) noexcept
        : key_(key), members_(members), how_(how.raw())
    {
    }
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_set_add(node, key_, reinterpret_cast<const quorate_bytes *>(members_.data()), members_.size(), how_,
                               tag);
    }
    quorate_status wait(quorate_node *node, quorate_completion *out) const noexcept
    {
        return quorate_set_add_sync(node, key_, reinterpret_cast<const quorate_bytes *>(members_.data()), members_.size(),
                                    how_, out, sizeof *out);
    }

  private:
    bytes key_;
    array_view<bytes> members_;
    const quorate_call *how_;
};

/** Takes elements out of a set. C: quorate_set_remove */
class set_remove {
  public:
    set_remove(bytes key, array_view<bytes> members, const call &how = default_call) noexcept
        : key_(key), members_(members), how_(how.raw())
    {
    }
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_set_remove(node, key_, reinterpret_cast<const quorate_bytes *>(members_.data()), members_.size(),
                                  how_, tag);
    }
    quorate_status wait(quorate_node *node, quorate_completion *out) const noexcept
    {
        return quorate_set_remove_sync(node, key_, reinterpret_cast<const quorate_bytes *>(members_.data()),
                                       members_.size(), how_, out, sizeof *out);
    }

  private:
    bytes key_;
    array_view<bytes> members_;
    const quorate_call *how_;
};

/** Shows a page of keys; the token is empty or the context of the page before. C: quorate_scan */
class scan {
  public:
    explicit scan(bytes token = {}, bytes prefix = {}, bytes pattern = {}, std::uint32_t limit = 0,
                  const call &how = default_call) noexcept
        : token_(token), prefix_(prefix), pattern_(pattern), limit_(limit), how_(how.raw())
    {
    }
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_scan(node, token_, prefix_, pattern_, limit_, how_, tag);
    }
    quorate_status wait(quorate_node *node, quorate_completion *out) const noexcept
    {
        return quorate_scan_sync(node, token_, prefix_, pattern_, limit_, how_, out, sizeof *out);
    }
    /** It as one of a batch. */
    quorate_op op(std::uint64_t tag) const noexcept
    {
        return {QUORATE_OP_SCAN, 0, tag, prefix_, pattern_, token_, how_, 0, limit_};
    }

  private:
    bytes token_, prefix_, pattern_;
    std::uint32_t limit_;
    const quorate_call *how_;
};

/**
 * Follows what changes in a partition, or in all that the node holds, from now on or from the context of a completion
 * before. Completions come until one without has_more(). It cannot be waited for, nor be a future. C: quorate_watch
 */
class watch {
  public:
    explicit watch(std::uint32_t partition = QUORATE_PARTITION_ALL, bytes place = {}, std::uint32_t limit = 0,
                   const call &how = default_call) noexcept
        : partition_(partition), limit_(limit), place_(place), how_(how.raw())
    {
    }
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_watch(node, partition_, place_, limit_, how_, tag);
    }
    /** It as one of a batch. */
    quorate_op op(std::uint64_t tag) const noexcept
    {
        return {QUORATE_OP_WATCH, 0, tag, bytes(), bytes(), place_, how_, partition_, limit_};
    }

  private:
    std::uint32_t partition_, limit_;
    bytes place_;
    const quorate_call *how_;
};

/** Orders the cluster: QUORATE_ORDER_..., with what that has use for. C: quorate_cluster_order */
class order {
  public:
    explicit order(std::uint32_t kind, bytes name = {}, bytes other = {}, std::uint64_t number = 0) noexcept
        : raw_{sizeof raw_, kind, name, other, number, {0, 0}}
    {
    }
    quorate_status submit(quorate_node *node, std::uint64_t tag) const noexcept
    {
        return quorate_cluster_order(node, &raw_, tag);
    }
    quorate_status wait(quorate_node *node, quorate_completion *out) const noexcept
    {
        return quorate_cluster_order_sync(node, &raw_, out, sizeof *out);
    }

  private:
    quorate_order raw_;
};

} // namespace request

/* ---- Options and nodes -------------------------------------------------------------------------------------- */

namespace detail {

/* A time as C has it: below zero is now, the longest is for ever. */
inline std::uint64_t nanoseconds_of(std::chrono::nanoseconds time) noexcept
{
    if (time == std::chrono::nanoseconds::max())
        return UINT64_MAX;
    return time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 0;
}

/* Room for the words of an error. */
inline quorate_error room_for_error() noexcept
{
    quorate_error room{};
    room.struct_size = sizeof room;
    return room;
}

/* What stands between a hook in C++ and C: `user` is a Hook on the heap, which `drop` destroys. */
template <class Hook> struct trampoline {
    static void progress(void *user, std::uint64_t done, std::uint64_t total) noexcept
    {
        (*static_cast<Hook *>(user))(done, total);
    }

    static void log(void *user, std::uint32_t level, quorate_bytes target, quorate_bytes text) noexcept
    {
        (*static_cast<Hook *>(user))(level, bytes(target), bytes(text));
    }

    static std::uint64_t monotonic_ns(void *user) noexcept { return static_cast<Hook *>(user)->monotonic_ns(); }

    static std::uint64_t wall_ms(void *user) noexcept { return static_cast<Hook *>(user)->wall_ms(); }

    static std::int32_t merge(void *user, quorate_bytes key, const quorate_bytes *values, std::size_t count,
                              std::uint8_t *buffer, std::size_t cap, std::size_t *len) noexcept
    {
        const array_view<bytes> all(reinterpret_cast<const bytes *>(values), count);
        const std::optional<std::string> made = (*static_cast<Hook *>(user))(bytes(key), all);
        if (!made)
            return 1;
        *len = made->size();
        if (made->size() <= cap && !made->empty())
            std::memcpy(buffer, made->data(), made->size());
        return 0;
    }

    static void drop(void *user) noexcept { delete static_cast<Hook *>(user); }
};

/* Asks and waits. A refusal leaves C's completion empty, and is one that says only this here. */
template <class Request> completion wait_for(quorate_node *node, const Request &request) noexcept
{
    quorate_completion raw{};
    const quorate_status status = request.wait(node, &raw);
    if (raw.status != status)
        return completion(status, quorate_status_flags(status));
    return completion(raw);
}

struct free_options {
    void operator()(quorate_options *options) const noexcept { quorate_options_free(options); }
};

struct free_members {
    void operator()(quorate_members *members) const noexcept { quorate_members_free(members); }
};

struct free_node {
    void operator()(quorate_node *node) const noexcept { quorate_node_free(node); }
};

} // namespace detail

/**
 * Settings of a node: options().set(QUORATE_OPT_NAME, "A").set(QUORATE_OPT_N, 3). The first that is refused is
 * remembered, and node::open says why; nothing after it is set. One thread at a time.
 */
class options {
  public:
    /** Every default. C: QUORATE_OPTIONS_CREATE */
    options()
    {
        quorate_options *made = nullptr;
        keep(quorate_options_new(QUORATE_API_LEVEL, &made));
        raw_.reset(made);
    }

    /** Sets an option that is a number. C: quorate_options_set_u64 */
    options &set(quorate_option option, std::uint64_t value)
    {
        return error_ ? *this : keep(quorate_options_set_u64(raw_.get(), option, value));
    }

    /** Sets an option that is a text or a list. C: quorate_options_set_bytes */
    options &set(quorate_option option, bytes value)
    {
        return error_ ? *this : keep(quorate_options_set_bytes(raw_.get(), option, value));
    }

    /** Adds an entry to an option that is a list. C: quorate_options_add_bytes */
    options &add(quorate_option option, bytes value)
    {
        return error_ ? *this : keep(quorate_options_add_bytes(raw_.get(), option, value));
    }

    /** Sets an option by name, as config files spell it. C: quorate_options_parse */
    options &parse(bytes name, bytes value)
    {
        if (error_)
            return *this;
        quorate_error said = detail::room_for_error();
        const quorate_status status = quorate_options_parse(raw_.get(), name, value, &said);
        if (status != QUORATE_OK)
            error_.emplace(status, said);
        return *this;
    }

    /**
     * Sets what is called with (std::uint64_t done, std::uint64_t total) while node::open reads a log, on its thread.
     * It is destroyed when no options and no opening need it any more. C: quorate_options_set_progress
     */
    template <class F> options &on_progress(F &&hook)
    {
        using Hook = std::decay_t<F>;
        if (error_)
            return *this;
        using Calls = detail::trampoline<Hook>;
        return keep(quorate_options_set_progress(raw_.get(), Calls::progress, new Hook(std::forward<F>(hook)), Calls::drop));
    }

    /**
     * Sets what is called with (std::uint32_t level, bytes target, bytes text) for each line of a node's log that is as
     * important as the level, QUORATE_LOG_..., by the thread that drives the node. It may not use the node, and is destroyed
     * when no options and no node need it any more. C: quorate_options_set_log
     */
    template <class F> options &on_log(std::uint32_t level, F &&hook)
    {
        using Hook = std::decay_t<F>;
        if (error_)
            return *this;
        using Calls = detail::trampoline<Hook>;
        return keep(quorate_options_set_log(raw_.get(), level, Calls::log, new Hook(std::forward<F>(hook)), Calls::drop));
    }

    /**
     * Sets the clocks of a program that steps its node: an object with std::uint64_t monotonic_ns() and wall_ms(), which
     * several threads may call at once. C: quorate_options_set_clock
     */
    template <class C> options &clock(C &&clocks)
    {
        using Hook = std::decay_t<C>;
        if (error_)
            return *this;
        using Calls = detail::trampoline<Hook>;
        const quorate_clock given{sizeof given,         0,         new Hook(std::forward<C>(clocks)), Calls::monotonic_ns,
                                  Calls::wall_ms, Calls::drop, {0, 0}};
        return keep(quorate_options_set_clock(raw_.get(), &given));
    }

    /** A copy, with the refusal if there was one. C: quorate_options_clone */
    options clone() const
    {
        quorate_options *made = nullptr;
        options copy(made);
        copy.error_ = error_;
        if (!error_) {
            copy.keep(quorate_options_clone(raw_.get(), &made));
            copy.raw_.reset(made);
        }
        return copy;
    }

    /** That nothing was refused, or the first refusal. */
    result<void> check() const noexcept { return error_ ? result<void>(*error_) : result<void>(); }

    /** Those of C, which stay with this object. */
    quorate_options *raw() const noexcept { return raw_.get(); }

  private:
    explicit options(quorate_options *raw) noexcept : raw_(raw) {}

    options &keep(quorate_status status) noexcept
    {
        if (status != QUORATE_OK)
            error_.emplace(status);
        return *this;
    }

    std::unique_ptr<quorate_options, detail::free_options> raw_;
    std::optional<error> error_;
};

/** How what one read of a key saw lies to what another one did. C: QUORATE_CONTEXT_... */
enum class causality : std::int32_t {
    before = QUORATE_CONTEXT_BEFORE,
    equal = QUORATE_CONTEXT_EQUAL,
    after = QUORATE_CONTEXT_AFTER,
    concurrent = QUORATE_CONTEXT_CONCURRENT
};

/** Which of two reads of a key saw more, by their contexts; empty is nothing. C: quorate_context_compare */
inline result<causality> compare_contexts(bytes one, bytes other) noexcept
{
    std::int32_t order = 0;
    const quorate_status status = quorate_context_compare(one, other, &order);
    if (status != QUORATE_OK)
        return error(status);
    return static_cast<causality>(order);
}

/** The members as a node knew them at one moment: node::members(). It does not change, and outlives the node. */
class members {
  public:
    /** All, in the order of their names; their texts live as long as this object. C: quorate_members_list */
    std::vector<quorate_member> list() const
    {
        std::size_t n = 0;
        std::vector<quorate_member> all;
        while (quorate_members_list(raw(), all.data(), sizeof(quorate_member), all.size(), &n) == QUORATE_AGAIN)
            all.resize(n);
        return all;
    }

    /** Who holds a key, in preference order: places in list(). None for a keyspace that there is not. C: quorate_key_owners */
    std::vector<std::uint32_t> owners(bytes key, std::uint32_t keyspace = 0) const
    {
        std::size_t n = 0;
        std::vector<std::uint32_t> all;
        while (quorate_key_owners(raw(), keyspace, key, nullptr, all.data(), all.size(), &n) == QUORATE_AGAIN)
            all.resize(n);
        return all;
    }

    /** The partition of a key, as request::watch takes it. C: quorate_key_owners */
    result<std::uint32_t> partition(bytes key, std::uint32_t keyspace = 0) const noexcept
    {
        std::size_t n = 0;
        std::uint32_t partition = 0;
        const quorate_status status = quorate_key_owners(raw(), keyspace, key, &partition, nullptr, 0, &n);
        if (status < 0)
            return error(status);
        return partition;
    }

    /** That of C, which stays with this object; NULL of one that was moved from. */
    const quorate_members *raw() const noexcept { return raw_.get(); }

  private:
    friend class node;

    explicit members(quorate_members *raw) noexcept : raw_(raw) {}

    std::unique_ptr<quorate_members, detail::free_members> raw_;
};

class key_range;

/**
 * A node. Requests of several threads may run in parallel; what only one thread may do at a time is said. It must outlive
 * whatever was made of it (a key_range, a dispatcher), and may be moved meanwhile.
 */
class node {
  public:
    /** None: any call fails with errc::null. */
    node() noexcept = default;

    /** Opens one: binds its addresses, locks and reads its directory. Blocks. C: quorate_node_open */
    static result<node> open(const options &with)
    {
        if (auto checked = with.check(); !checked)
            return checked.error();
        quorate_node *made = nullptr;
        quorate_error said = detail::room_for_error();
        const quorate_status status = quorate_node_open(with.raw(), &made, &said);
        if (status != QUORATE_OK)
            return error(status, said);
        return node(made);
    }

    /** Has a thread of the library drive it, in mode thread. C: quorate_node_start */
    result<void> start()
    {
        quorate_error said = detail::room_for_error();
        const quorate_status status = quorate_node_start(raw(), &said);
        return status == QUORATE_OK ? result<void>() : result<void>(error(status, said));
    }

    /**
     * Stops it: what is in flight may take so long, then every accepted request has its completion, which may still be
     * reaped. The destructor stops a node at once. Blocks. C: quorate_node_stop
     */
    result<void> stop(std::chrono::nanoseconds timeout = std::chrono::seconds(1)) noexcept
    {
        return result<void>::of(quorate_node_stop(raw(), detail::nanoseconds_of(timeout)));
    }

    /** QUORATE_STATE_..., or 0. C: quorate_node_state */
    std::uint32_t state() const noexcept { return quorate_node_state(raw()); }

    /** An address that it has bound: QUORATE_ADDRESS_... C: quorate_node_address */
    result<std::string> address(std::uint32_t which = QUORATE_ADDRESS_PEER) const
    {
        std::string text(63, '\0');
        std::size_t len = 0;
        quorate_status status = quorate_node_address(raw(), which, text.data(), text.size() + 1, &len);
        if (status == QUORATE_AGAIN) {
            text.resize(len);
            status = quorate_node_address(raw(), which, text.data(), len + 1, &len);
        }
        if (status != QUORATE_OK)
            return error(status);
        text.resize(len);
        return text;
    }

    /** Says where another member listens; before it is started. C: quorate_node_meet */
    result<void> meet(bytes name, bytes address) noexcept
    {
        return result<void>::of(quorate_node_meet(raw(), name, address));
    }

    /** Plays a network that breaks, for tests. C: quorate_node_isolate */
    result<void> isolate(bool on) const noexcept { return result<void>::of(quorate_node_isolate(raw(), on ? 1 : 0)); }

    /** A figure of its store: QUORATE_FIGURE_... C: quorate_node_figure */
    result<std::uint64_t> figure(std::uint32_t which) const noexcept
    {
        std::uint64_t value = 0;
        const quorate_status status = quorate_node_figure(raw(), which, &value);
        if (status != QUORATE_OK)
            return error(status);
        return value;
    }

    /**
     * One context for what all of these saw, which may be empty: a write with it replaces what any of them did. They are of
     * one key. C: quorate_context_merge
     */
    result<std::vector<std::uint8_t>> merge_contexts(bytes key, const std::vector<bytes> &contexts,
                                                     std::uint32_t keyspace = 0) const
    {
        const std::vector<quorate_bytes> given(contexts.begin(), contexts.end());
        std::vector<std::uint8_t> merged;
        std::size_t len = 0;
        quorate_status status = QUORATE_AGAIN;
        while (status == QUORATE_AGAIN) {
            merged.resize(len);
            status = quorate_context_merge(raw(), keyspace, key, given.data(), given.size(), merged.data(), len, &len);
        }
        if (status != QUORATE_OK)
            return error(status);
        return merged;
    }

    /** A snapshot of the members. Waits in mode thread for a turn of the loop. C: quorate_members_snapshot */
    result<quorate::members> members() const noexcept
    {
        quorate_members *made = nullptr;
        const quorate_status status = quorate_members_snapshot(raw(), &made);
        if (status != QUORATE_OK)
            return error(status);
        return quorate::members(made);
    }

    /**
     * All counters: each at the place of its number, UINT64_MAX for what this node does not count. Names are
     * quorate_stat_name's. Waits in mode thread for a turn of the loop. C: quorate_stats
     */
    result<std::vector<std::uint64_t>> stats() const
    {
        std::vector<std::uint64_t> values(quorate_stat_count());
        std::size_t n = 0;
        const quorate_status status = quorate_stats(raw(), values.data(), values.size(), &n);
        if (status != QUORATE_OK)
            return error(status);
        return values;
    }

    /**
     * Registers what makes one value of siblings for reads with the view QUORATE_VIEW_HOST + number: a function of
     * (bytes key, array_view<bytes> values) that returns a std::string, or a std::optional of it, empty where it cannot.
     * It runs on the thread that drives the node, is called once more for a long result, may not use the node, and is
     * destroyed when the node lets go of it. Before the node is started. C: quorate_merge_register
     */
    template <class F> result<void> merge_register(std::uint32_t number, F &&merge)
    {
        using Hook = std::decay_t<F>;
        using Calls = detail::trampoline<Hook>;
        return result<void>::of(
            quorate_merge_register(raw(), number, Calls::merge, new Hook(std::forward<F>(merge)), Calls::drop));
    }

    /* ---- Requests that wait: in mode thread, at most to the deadline. ---- */

    /** Reads. C: quorate_get_sync */
    [[nodiscard]] completion get(bytes key, const call &how = default_call) noexcept
    {
        return wait_for(request::get(key, how));
    }

    /** Writes; the context says which versions the value replaces. C: quorate_put_sync */
    [[nodiscard]] completion put(bytes key, bytes value, bytes context = {}, const call &how = default_call) noexcept
    {
        return wait_for(request::put(key, value, context, how));
    }

    /** Deletes what the context covers. C: quorate_delete_sync */
    [[nodiscard]] completion erase(bytes key, bytes context = {}, const call &how = default_call) noexcept
    {
        return wait_for(request::erase(key, context, how));
    }

    /** Counts; value().number() is what it then is. C: quorate_add_sync */
    [[nodiscard]] completion add(bytes key, std::int64_t by, std::uint64_t id = 0, const call &how = default_call) noexcept
    {
        return wait_for(request::add(key, by, id, how));
    }

    /** Puts a number in the place of the one that was read. C: quorate_put_number_sync */
    [[nodiscard]] completion put_number(bytes key, std::int64_t number, bytes context,
                                        const call &how = default_call) noexcept
    {
        return wait_for(request::put_number(key, number, context, how));
    }

    /** Puts elements into a set; count() is how many were not there. C: quorate_set_add_sync */
    [[nodiscard]] completion set_add(bytes key, array_view<bytes> members, const call &how = default_call) noexcept
    {
        return wait_for(request::set_add(key, members, how));
    }

    /** Takes elements out of a set; count() is how many were there. C: quorate_set_remove_sync */
    [[nodiscard]] completion set_remove(bytes key, array_view<bytes> members, const call &how = default_call) noexcept
    {
        return wait_for(request::set_remove(key, members, how));
    }

    /** Shows a page of keys; context() is the token of the next, empty behind the last. C: quorate_scan_sync */
    [[nodiscard]] completion scan(bytes token = {}, bytes prefix = {}, bytes pattern = {}, std::uint32_t limit = 0,
                                  const call &how = default_call) noexcept
    {
        return wait_for(request::scan(token, prefix, pattern, limit, how));
    }

    /** All keys, page by page, for a loop: for (quorate::bytes key : keys). */
    [[nodiscard]] key_range keys(bytes prefix = {}, bytes pattern = {}, std::uint32_t limit = 0,
                                 const call &how = default_call);

    /** Orders the cluster: QUORATE_ORDER_... C: quorate_cluster_order_sync */
    [[nodiscard]] completion order(std::uint32_t kind, bytes name = {}, bytes other = {}, std::uint64_t number = 0) noexcept
    {
        return wait_for(request::order(kind, name, other, number));
    }

    /* ---- Requests under a tag. ---- */

    /** Submits a value of the namespace request. If it fails, no completion comes. Never blocks. */
    template <class Request> result<void> submit(const Request &request, std::uint64_t tag) noexcept
    {
        return result<void>::of(request.submit(raw(), tag));
    }

    /** Submits a batch in order, up to the first that is refused; accepted says how many were not. C: quorate_submit */
    result<void> submit_batch(array_view<quorate_op> ops, std::size_t &accepted) noexcept
    {
        accepted = 0;
        return result<void>::of(quorate_submit(raw(), ops.data(), sizeof(quorate_op), ops.size(), &accepted));
    }

    /**
     * Ends the requests with this tag before their deadline, each with its completion: errc::cancelled, where a write is
     * marked uncertain if it may have happened. C: quorate_cancel
     */
    result<void> cancel(std::uint64_t tag) noexcept { return result<void>::of(quorate_cancel(raw(), tag)); }

    /** Ends the feed with this tag; one last completion follows. C: quorate_unwatch */
    result<void> unwatch(std::uint64_t tag) noexcept { return result<void>::of(quorate_unwatch(raw(), tag)); }

    /** Gives back what the batch holds and fills it; whether there was any. One thread at a time. C: quorate_reap */
    result<bool> reap(completion_batch &into) noexcept
    {
        const quorate_status status = into.fill(raw());
        if (status < 0)
            return error(status);
        return !into.empty();
    }

    /**
     * Waits for a completion, in mode thread; whether there may be one. Nothing but that and the time ends it: a thread
     * that is to be ended waits for a time. C: quorate_wait
     */
    result<bool> wait(std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max()) noexcept
    {
        const quorate_status status = quorate_wait(raw(), detail::nanoseconds_of(timeout));
        if (status < 0)
            return error(status);
        return status == QUORATE_OK;
    }

    /** To poll for POLLIN, never to be read: there is something to reap. Below 0: an error. C: quorate_completion_fd */
    int completion_fd() const noexcept { return quorate_completion_fd(raw()); }

    /* ---- A loop of the host's own, in mode host: one thread at a time. ---- */

    /** To poll for POLLIN, level triggered: step() has work. Below 0: an error. C: quorate_node_fd */
    int fd() const noexcept { return quorate_node_fd(raw()); }

    /** When to call step() at the latest; time_point::max() for when fd() is readable. C: quorate_node_deadline */
    std::chrono::steady_clock::time_point deadline() const noexcept
    {
        using clock = std::chrono::steady_clock;
        const std::uint64_t at = quorate_node_deadline(raw());
        if (at > static_cast<std::uint64_t>(std::chrono::nanoseconds::max().count()))
            return clock::time_point::max();
        return clock::time_point(std::chrono::nanoseconds(at));
    }

    /** One turn, of at most so many sockets and requests (0: no bound). Whether work is left. C: quorate_node_step */
    result<bool> step(std::uint32_t budget = 0,
                      std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now(),
                      std::chrono::system_clock::time_point wall = std::chrono::system_clock::now()) noexcept
    {
        const auto wall_ms = std::chrono::duration_cast<std::chrono::milliseconds>(wall.time_since_epoch()).count();
        std::uint32_t more = 0;
        const quorate_status status = quorate_node_step(raw(), detail::nanoseconds_of(now.time_since_epoch()),
                                                        static_cast<std::uint64_t>(wall_ms), budget, &more);
        if (status < 0)
            return error(status);
        return more != 0;
    }

    /**
     * Does what waits for the disk, of a node with QUORATE_OPT_DISK_THREAD 0, beside step() or behind it: whether there was
     * anything. One thread at a time. Waits for the disk. C: quorate_disk_step
     */
    result<bool> disk_step() noexcept
    {
        const quorate_status status = quorate_disk_step(raw());
        if (status < 0)
            return error(status);
        return status == QUORATE_OK;
    }

    /** Makes fd() readable, or the library's thread turn once. Safe in a signal handler. C: quorate_node_wake */
    void wake() const noexcept { quorate_node_wake(raw()); }

    /** That of C, which stays with this object; NULL of one that was moved from. */
    quorate_node *raw() const noexcept { return raw_.get(); }

  private:
    explicit node(quorate_node *raw) noexcept : raw_(raw) {}

    template <class Request> completion wait_for(const Request &request) noexcept
    {
        return detail::wait_for(raw(), request);
    }

    std::unique_ptr<quorate_node, detail::free_node> raw_;
};

/**
 * The keys of a keyspace, fetched a page at a time as a loop goes on; in one pass. A key lives until the next is asked
 * for. The loop ends early where a page cannot be had: look at code() behind it. One thread at a time. C: quorate_scan_sync
 */
class key_range {
  public:
    /** Behind the last. */
    struct sentinel {};

    /** Steps from key to key, and fetches. */
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = bytes;
        using difference_type = std::ptrdiff_t;
        using pointer = const bytes *;
        using reference = bytes;

        explicit iterator(key_range *of) noexcept : of_(of) {}
        bytes operator*() const noexcept { return of_->page_.keys()[of_->at_]; }
        iterator &operator++()
        {
            ++of_->at_;
            of_->fetch();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &a, sentinel) noexcept { return a.is_at_end(); }
        friend bool operator!=(const iterator &a, sentinel) noexcept { return !a.is_at_end(); }

      private:
        bool is_at_end() const noexcept { return of_->at_ >= of_->page_.keys().size(); }

        key_range *of_;
    };

    /** The first key; fetches. */
    iterator begin()
    {
        fetch();
        return iterator(this);
    }
    sentinel end() const noexcept { return {}; }

    /** OK, or why the loop ended early. */
    std::error_code code() const noexcept { return is_begun_ ? page_.code() : std::error_code(); }

  private:
    friend class node;

    key_range(quorate_node *node, bytes prefix, bytes pattern, std::uint32_t limit, const call &how)
        : node_(node), prefix_(prefix.str()), pattern_(pattern.str()), limit_(limit), how_(how)
    {
    }

    /* Fetches until there is a key to show, or nothing more. */
    void fetch()
    {
        while (!is_begun_ || (page_ && at_ >= page_.keys().size() && !page_.context().empty())) {
            page_ = detail::wait_for(node_, request::scan(page_.context(), prefix_, pattern_, limit_, how_));
            is_begun_ = true;
            at_ = 0;
        }
    }

    quorate_node *node_;
    std::string prefix_, pattern_;
    std::uint32_t limit_;
    call how_;
    completion page_;
    std::size_t at_ = 0;
    bool is_begun_ = false;
};

inline key_range node::keys(bytes prefix, bytes pattern, std::uint32_t limit, const call &how)
{
    return key_range(raw(), prefix, pattern, limit, how);
}

/* ---- Callbacks and futures ---------------------------------------------------------------------------------- */

/**
 * Runs a callback, or fills a future, for each request that is sent through it.
 *
 * Who drives it: nobody but you. Either a loop of yours calls poll() when node.completion_fd() is readable, or a thread
 * of yours is inside of run(). Callbacks run there, one after the other, and may send further requests. A future
 * must not be waited for by the thread that drives.
 *
 * Any thread may send. Every accepted request has its callback called once, a feed one for each page: what is left
 * when the dispatcher is destroyed is called then, with errc::closed, and may not send; feeds end with it. It takes all
 * completions of its node: those of requests that were submitted without it are dropped. The node outlives it; stop the
 * node, then quit(), then join.
 */
class dispatcher {
  public:
    /** Of one node, that must live longer. It reaps so many at a time. */
    explicit dispatcher(node &of, std::size_t batch = 256)
        : node_(of.raw()), batch_(batch), first_tag_(next_number() << 32),
          quit_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
    {
        found_.reserve(batch);
    }

    dispatcher(const dispatcher &) = delete;
    dispatcher &operator=(const dispatcher &) = delete;

    ~dispatcher()
    {
        batch_.clear();
        for (std::size_t at = 0; at < waiting_.size(); at++) {
            if (waiting_[at] == nullptr)
                continue;
            /* A feed would keep its places in the window; of a request nothing comes of it. */
            [[maybe_unused]] const quorate_status unwatched = quorate_unwatch(node_, first_tag_ + at);
            const std::uint32_t flags = waiting_[at]->may_write ? QUORATE_F_UNCERTAIN : 0u;
            waiting_[at]->ended(
                completion(QUORATE_E_CLOSED, quorate_status_flags(QUORATE_E_CLOSED) | flags, first_tag_ + at));
        }
        if (quit_fd_ >= 0)
            ::close(quit_fd_);
    }

    /**
     * Sends a value of the namespace request; callback is called with its completion, by value. Returns the tag, for
     * node.cancel and node.unwatch: it is this request's until its callback has returned. If it fails, the callback is
     * destroyed and never called. Never blocks.
     */
    template <class Request, class F> result<std::uint64_t> send(const Request &request, F &&callback)
    {
        return post(request, std::make_unique<calling<std::decay_t<F>>>(std::forward<F>(callback)));
    }

    /** Sends a request; what is refused is in the future at once, as a completion too. Not for feeds. */
    template <class Request> [[nodiscard]] std::future<completion> send(const Request &request)
    {
        static_assert(!std::is_same_v<Request, request::watch>, "a feed has many completions: give it a callback");
        auto filled = std::make_unique<filling>();
        std::future<completion> future = filled->promise.get_future();
        std::unique_ptr<waiter> waiting = std::move(filled);
        const auto [tag, status] = place(request, waiting);
        if (status != QUORATE_OK)
            waiting->ended(completion(status, quorate_status_flags(status), tag));
        return future;
    }

    /** Runs the callbacks of what has ended; how many. errc::busy if it is driven already. Never blocks. */
    result<std::size_t> poll()
    {
        if (is_driven_.exchange(true, std::memory_order_acquire))
            return error(QUORATE_E_BUSY);
        result<std::size_t> done = deliver();
        is_driven_.store(false, std::memory_order_release);
        return done;
    }

    /**
     * Drives until quit(), and then as long as there is something to reap. Blocks. It ends with errc::busy if anybody
     * else polls, or reaps the node: nobody drives then.
     */
    result<void> run()
    {
        if (quit_fd_ < 0)
            return error(QUORATE_E_NOMEM);
        pollfd fds[2] = {{quorate_completion_fd(node_), POLLIN, 0}, {quit_fd_, POLLIN, 0}};
        if (fds[0].fd < 0)
            return error(fds[0].fd);
        for (;;) {
            ::poll(fds, 2, -1);
            const bool is_quitting = fds[1].revents != 0;
            result<std::size_t> done = poll();
            if (!done)
                return done.error();
            if (is_quitting && *done == 0)
                return {};
        }
    }

    /** Ends run(), now or when it is called. Safe in a signal handler. */
    void quit() noexcept
    {
        const std::uint64_t one = 1;
        /* It can only fail where it is readable already. */
        if (quit_fd_ >= 0 && ::write(quit_fd_, &one, sizeof one) < 0)
            return;
    }

    /** Requests that were accepted and whose callbacks have not returned; a feed counts until its last one has. */
    std::size_t in_flight() const
    {
        const std::lock_guard<std::mutex> held(lock_);
        return waiting_.size() - free_.size();
    }

  private:
    struct waiter {
        virtual ~waiter() = default;
        virtual void ended(completion &&done) noexcept = 0;
        bool may_write = false;
    };

    template <class F> struct calling final : waiter {
        template <class From> explicit calling(From &&from) : callback(std::forward<From>(from)) {}
        void ended(completion &&done) noexcept override { callback(std::move(done)); }
        F callback;
    };

    struct filling final : waiter {
        void ended(completion &&done) noexcept override { promise.set_value(std::move(done)); }
        std::promise<completion> promise;
    };

    /* Tags of one dispatcher are not those of another: completions of the one before may still come. */
    static std::uint64_t next_number() noexcept
    {
        static std::atomic<std::uint32_t> last{0};
        return last.fetch_add(1, std::memory_order_relaxed) + std::uint64_t{1};
    }

    /* Submits with a place taken; gives the waiter back if it is refused. */
    template <class Request>
    std::pair<std::uint64_t, quorate_status> place(const Request &request, std::unique_ptr<waiter> &waiting)
    {
        std::size_t at;
        {
            const std::lock_guard<std::mutex> held(lock_);
            if (free_.empty()) {
                if (waiting_.size() == waiting_.capacity()) {
                    /* Giving a place back never has to allocate. */
                    free_.reserve(2 * waiting_.size() + 8);
                    waiting_.reserve(2 * waiting_.size() + 8);
                }
                at = waiting_.size();
                waiting_.emplace_back();
            } else {
                at = free_.back();
                free_.pop_back();
            }
            waiting->may_write = !std::is_same_v<Request, request::get> && !std::is_same_v<Request, request::scan> &&
                                 !std::is_same_v<Request, request::watch>;
            waiting_[at] = std::move(waiting);
        }
        const std::uint64_t tag = first_tag_ + at;
        const quorate_status status = request.submit(node_, tag);
        if (status != QUORATE_OK) {
            const std::lock_guard<std::mutex> held(lock_);
            waiting = std::move(waiting_[at]);
            free_.push_back(at);
        }
        return {tag, status};
    }

    template <class Request> result<std::uint64_t> post(const Request &request, std::unique_ptr<waiter> waiting)
    {
        const auto [tag, status] = place(request, waiting);
        if (status != QUORATE_OK)
            return error(status);
        return tag;
    }

    /* A completion's callback, and its place; one that is not called again comes with it. */
    struct call_back {
        waiter *to;
        std::unique_ptr<waiter> last;
        std::size_t at;
    };

    /* Whose each completion of the batch is. */
    void find_waiters()
    {
        const std::lock_guard<std::mutex> held(lock_);
        for (const completion_view done : batch_) {
            const std::uint64_t at = done.tag() - first_tag_;
            if (at >= waiting_.size() || waiting_[at] == nullptr) {
                found_.push_back({nullptr, nullptr, 0});
                continue;
            }
            found_.push_back({waiting_[at].get(), nullptr, static_cast<std::size_t>(at)});
            if (!done.has_more())
                found_.back().last = std::move(waiting_[at]);
        }
    }

    result<std::size_t> deliver()
    {
        const quorate_status status = batch_.fill(node_);
        if (status < 0)
            return error(status);
        find_waiters();
        for (std::size_t at = 0; at < found_.size(); at++)
            if (found_[at].to != nullptr)
                found_[at].to->ended(batch_.take(at));
        give_places_back();
        return batch_.size();
    }

    /* Only now: until its callback has returned a tag is nobody else's, and the request is in flight. */
    void give_places_back()
    {
        std::size_t ended = 0;
        for (call_back &each : found_)
            if (each.last != nullptr) {
                each.last.reset();
                found_[ended++].at = each.at;
            }
        const std::lock_guard<std::mutex> held(lock_);
        for (std::size_t at = 0; at < ended; at++)
            free_.push_back(found_[at].at);
        found_.clear();
    }

    quorate_node *node_;
    completion_batch batch_;
    /* A tag is this and a place in waiting_. */
    const std::uint64_t first_tag_;
    const int quit_fd_;
    std::atomic<bool> is_driven_{false};
    /* Of whoever drives. */
    std::vector<call_back> found_;
    /* Guards what follows; no callback runs and none is destroyed under it. */
    mutable std::mutex lock_;
    std::vector<std::unique_ptr<waiter>> waiting_;
    /* Places that are free. */
    std::vector<std::size_t> free_;
};

/* ---- Exceptions --------------------------------------------------------------------------------------------- */

#ifdef QUORATE_HPP_EXCEPTIONS

/** The value of a result, or a std::system_error with its code and text. */
template <class T> T or_throw(result<T> &&from)
{
    if (!from)
        throw std::system_error(from.code(), from.error().message());
    if constexpr (!std::is_void_v<T>)
        return *std::move(from);
}

/** A completion that says OK, or a std::system_error with its code. What a failed one tells beyond that is lost. */
inline completion or_throw(completion &&from)
{
    if (!from)
        throw std::system_error(from.code());
    return std::move(from);
}

#endif /* QUORATE_HPP_EXCEPTIONS */

} // namespace quorate

#endif /* QUORATE_HPP */

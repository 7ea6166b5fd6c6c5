// The peer: server-sent events on a bare epoll loop of one thread, written for this comparison. It
// stands for what the fast event loops in C++ get without io_uring: no framework, an event encoded
// once, and all of one turn of the loop in one send to a stream (cork). A stream that does not keep
// up has a backlog of its own, without a limit: nothing is lost.
//
// server PORT: GET /sse/CHANNEL, POST /publish/CHANNEL with a Content-Length.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

constexpr size_t kHeadBytesMax = 16 << 10;
constexpr size_t kBodyBytesMax = 8 << 20;
constexpr size_t kReceiveBytes = 512 << 10;
constexpr int kEventsMax = 1024;

struct Connection;

struct Channel {
    std::string name;
    std::vector<Connection*> streams;
    std::string due;     // events of this turn, encoded once for all streams
    bool dirty = false;  // in `dirty_`
};

struct Out {
    std::string bytes;
    size_t sent = 0;
};

// What a stream holds for good is small: the buffers are there only while they hold something.
struct Connection {
    int fd = -1;
    uint32_t slot = 0;           // its place in the channel's streams
    Channel* channel = nullptr;  // if it is a stream
    std::unique_ptr<std::string> in;
    std::unique_ptr<Out> out;
    bool corked = false;     // in `corked_`
    bool wants_out = false;  // epoll is to tell when it can be written to
    bool closing = false;    // once all is sent
    bool closed = false;
};

struct Request {
    std::string_view method, path, body;
    bool keep = true;
};

enum class Parsed { kWhole, kPart, kTooLarge, kWrong };

[[noreturn]] void fail(const char* what) {
    perror(what);
    exit(1);
}

bool same(std::string_view a, std::string_view b) {
    return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trim(std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Up to the end of the line, which is taken off the front.
std::string_view take_line(std::string_view& text) {
    const size_t end = text.find("\r\n");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
    return line;
}

bool parse_size(std::string_view text, size_t& size) {
    size = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return false;
        if (size <= kBodyBytesMax) size = size * 10 + static_cast<size_t>(c - '0');
    }
    return !text.empty();
}

// Takes one request off the front of `bytes` if it is whole.
Parsed parse(std::string_view& bytes, Request& request) {
    const size_t head_end = bytes.substr(0, kHeadBytesMax).find("\r\n\r\n");
    if (head_end == std::string_view::npos) {
        return bytes.size() < kHeadBytesMax ? Parsed::kPart : Parsed::kTooLarge;
    }
    std::string_view head = bytes.substr(0, head_end);
    const std::string_view first = take_line(head);
    const size_t a = first.find(' '), b = first.rfind(' ');
    if (a == std::string_view::npos || a == b || first.substr(b + 1, 7) != "HTTP/1.") {
        return Parsed::kWrong;
    }
    request.method = first.substr(0, a);
    request.path = first.substr(a + 1, b - a - 1);
    request.path = request.path.substr(0, request.path.find('?'));
    request.keep = first.back() != '0';
    size_t body_bytes = 0;
    while (!head.empty()) {
        const std::string_view line = take_line(head);
        const size_t colon = line.find(':');
        if (colon == std::string_view::npos) return Parsed::kWrong;
        const std::string_view name = line.substr(0, colon), value = trim(line.substr(colon + 1));
        if (same(name, "content-length")) {
            if (!parse_size(value, body_bytes)) return Parsed::kWrong;
        } else if (same(name, "transfer-encoding")) {
            return Parsed::kWrong;
        } else if (same(name, "connection") && same(value, "close")) {
            request.keep = false;
        }
    }
    if (body_bytes > kBodyBytesMax) return Parsed::kTooLarge;
    const size_t whole = head_end + 4 + body_bytes;
    if (bytes.size() < whole) return Parsed::kPart;
    request.body = bytes.substr(head_end + 4, body_bytes);
    bytes.remove_prefix(whole);
    return Parsed::kWhole;
}

// The channel's name, or nothing if the path is another.
std::string_view name_after(std::string_view path, std::string_view prefix) {
    return path.substr(0, prefix.size()) == prefix ? path.substr(prefix.size()) : std::string_view();
}

// Each line of the data, however it ends, is a `data` line of the event.
void encode(std::string& out, uint64_t id, std::string_view data) {
    out.append("id: ").append(std::to_string(id)).append("\n");
    for (;;) {
        const size_t end = data.find_first_of("\r\n");
        out.append("data: ").append(data.substr(0, end)).append("\n");
        if (end == std::string_view::npos) break;
        data.remove_prefix(end + (data.substr(end, 2) == "\r\n" ? 2 : 1));
    }
    out.append("\n");
}

class Server {
  public:
    explicit Server(uint16_t port) {
        const int on = 1;
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        // What it accepts inherits this.
        setsockopt(listener_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address);
        if (bind(listener_, generic, sizeof address) != 0) fail("bind");
        if (listen(listener_, 65535) != 0) fail("listen");
        watch(EPOLL_CTL_ADD, listener_, EPOLLIN, nullptr);
    }

    [[noreturn]] void run() {
        std::vector<epoll_event> events(kEventsMax);
        for (;;) {
            const int count = epoll_wait(epoll_, events.data(), kEventsMax, -1);
            if (count < 0 && errno != EINTR) fail("epoll_wait");
            for (int i = 0; i < count; i++) {
                const uint32_t what = events[i].events;
                auto* connection = static_cast<Connection*>(events[i].data.ptr);
                if (connection == nullptr) {
                    accept_all();
                    continue;
                }
                if (!connection->closed && (what & EPOLLOUT) != 0) send_out(*connection);
                if (!connection->closed && (what & ~EPOLLOUT) != 0) receive(*connection);
            }
            end_turn();
        }
    }

  private:
    // The streams first, then the answers: who publishes is held to the pace of the sends.
    void end_turn() {
        for (Channel* channel : dirty_) {
            flush(*channel);
            channel->dirty = false;
            forget_if_unused(*channel);
        }
        dirty_.clear();
        for (Connection* connection : corked_) {
            connection->corked = false;
            if (!connection->closed) send_out(*connection);
        }
        corked_.clear();
        // Only now: until here something of this turn may point to them.
        for (Connection* connection : gone_) delete connection;
        gone_.clear();
    }

    void watch(int operation, int fd, uint32_t what, Connection* connection) {
        epoll_event event{};
        event.events = what;
        event.data.ptr = connection;
        if (epoll_ctl(epoll_, operation, fd, &event) != 0) fail("epoll_ctl");
    }

    void accept_all() {
        for (;;) {
            const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                auto* connection = new Connection;
                connection->fd = fd;
                watch(EPOLL_CTL_ADD, fd, EPOLLIN, connection);
            } else if (errno == EMFILE || errno == ENFILE) {
                // Who waits is taken when another goes; to be told of them would be a busy loop.
                watch(EPOLL_CTL_MOD, listener_, 0, nullptr);
                accepting_ = false;
                return;
            } else if (errno != EINTR && errno != ECONNABORTED) {
                return;
            }
        }
    }

    void close_now(Connection& connection) {
        if (Channel* channel = connection.channel) {
            Connection* last = channel->streams.back();
            channel->streams[connection.slot] = last;
            last->slot = connection.slot;
            channel->streams.pop_back();
            forget_if_unused(*channel);
        }
        close(connection.fd);
        connection.closed = true;
        gone_.push_back(&connection);
        if (!accepting_) watch(EPOLL_CTL_MOD, listener_, EPOLLIN, nullptr);
        accepting_ = true;
    }

    void forget_if_unused(Channel& channel) {
        if (channel.streams.empty() && !channel.dirty) channels_.erase(channels_.find(channel.name));
    }

    void receive(Connection& connection) {
        const ssize_t got = recv(connection.fd, received_.data(), received_.size(), 0);
        if (got <= 0) {
            if (got == 0 || (errno != EAGAIN && errno != EINTR)) close_now(connection);
            return;
        }
        std::string_view bytes(received_.data(), static_cast<size_t>(got));
        if (connection.in) bytes = connection.in->append(bytes);
        // Whatever a client says after it subscribed is not read.
        while (!bytes.empty() && connection.channel == nullptr && !connection.closing) {
            Request request;
            const Parsed parsed = parse(bytes, request);
            if (parsed == Parsed::kPart) {
                connection.in = std::make_unique<std::string>(bytes);
                return;
            }
            if (parsed == Parsed::kWhole) {
                handle(connection, request);
            } else {
                const bool large = parsed == Parsed::kTooLarge;
                answer(connection, large ? "413 Content Too Large" : "400 Bad Request", "", false);
            }
        }
        connection.in.reset();
    }

    void handle(Connection& connection, const Request& request) {
        const std::string_view subscribed = name_after(request.path, "/sse/");
        const std::string_view published = name_after(request.path, "/publish/");
        if (request.method == "GET" && !subscribed.empty()) {
            subscribe(connection, std::string(subscribed));
        } else if (request.method == "POST" && !published.empty()) {
            const size_t heard = publish(std::string(published), request.body);
            const std::string body = R"({"id":")" + std::to_string(id_) + R"(","subscribers":)" +
                                     std::to_string(heard) + "}";
            answer(connection, "200 OK", body, request.keep);
        } else {
            answer(connection, "404 Not Found", "", request.keep);
        }
    }

    void subscribe(Connection& connection, const std::string& name) {
        Channel& channel = channels_[name];
        channel.name = name;
        // What was published before it came is not for it.
        flush(channel);
        connection.channel = &channel;
        connection.slot = static_cast<uint32_t>(channel.streams.size());
        channel.streams.push_back(&connection);
        cork(connection,
             "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
             "Connection: close\r\n\r\n");
    }

    // How many streams it goes to.
    size_t publish(const std::string& name, std::string_view data) {
        id_ += 1;
        const auto found = channels_.find(name);
        if (found == channels_.end()) return 0;
        Channel& channel = found->second;
        encode(channel.due, id_, data);
        if (!channel.dirty) dirty_.push_back(&channel);
        channel.dirty = true;
        return channel.streams.size();
    }

    void answer(Connection& connection, const char* status, const std::string& body, bool keep) {
        connection.closing = !keep;
        std::string bytes = std::string("HTTP/1.1 ") + status;
        bytes.append("\r\nContent-Type: application/json\r\nContent-Length: ");
        bytes.append(std::to_string(body.size()));
        bytes.append(keep ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n").append(body);
        cork(connection, bytes);
    }

    // Sends what the channel's streams are due. A send that fails for good leaves its connection
    // to epoll, which tells of its end.
    void flush(Channel& channel) {
        if (channel.due.empty()) return;
        const std::string_view due = channel.due;
        for (Connection* connection : channel.streams) {
            if (connection->out) {
                append(*connection, due);
                continue;
            }
            const ssize_t sent = send(connection->fd, due.data(), due.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN && errno != EINTR) continue;
            const size_t done = sent < 0 ? 0 : static_cast<size_t>(sent);
            if (done < due.size()) {
                append(*connection, due.substr(done));
                want_out(*connection, true);
            }
        }
        channel.due.clear();
    }

    void append(Connection& connection, std::string_view bytes) {
        if (!connection.out) connection.out = std::make_unique<Out>();
        Out& out = *connection.out;
        if (out.sent > out.bytes.size() / 2) {
            out.bytes.erase(0, out.sent);
            out.sent = 0;
        }
        out.bytes.append(bytes);
    }

    // Goes out at the end of the turn, with all else that comes until then.
    void cork(Connection& connection, std::string_view bytes) {
        append(connection, bytes);
        if (!connection.corked) corked_.push_back(&connection);
        connection.corked = true;
    }

    void send_out(Connection& connection) {
        if (!connection.out) return;
        Out& out = *connection.out;
        const std::string_view rest = std::string_view(out.bytes).substr(out.sent);
        const ssize_t sent = send(connection.fd, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return close_now(connection);
        out.sent += sent < 0 ? 0 : static_cast<size_t>(sent);
        const bool all = out.sent == out.bytes.size();
        if (all) connection.out.reset();
        if (all && connection.closing) return close_now(connection);
        want_out(connection, !all);
    }

    void want_out(Connection& connection, bool wants) {
        if (connection.wants_out == wants) return;
        connection.wants_out = wants;
        const uint32_t what = wants ? EPOLLIN | EPOLLOUT : EPOLLIN;
        watch(EPOLL_CTL_MOD, connection.fd, what, &connection);
    }

    int listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int epoll_ = epoll_create1(EPOLL_CLOEXEC);
    bool accepting_ = true;
    uint64_t id_ = 0;
    std::string received_ = std::string(kReceiveBytes, '\0');
    std::unordered_map<std::string, Channel> channels_;
    std::vector<Channel*> dirty_;
    std::vector<Connection*> corked_, gone_;
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) return fputs("usage: server PORT\n", stderr), 2;
    Server(static_cast<uint16_t>(atoi(arguments[1]))).run();
}

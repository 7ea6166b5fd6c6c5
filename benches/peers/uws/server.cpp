// The peer: server-sent events on uWebSockets, a set of responses per channel.
//
// A response is written to under `cork`, as its documentation asks: without, every chunk would be
// four sends. Only one can be corked at a time, and a handler's own is: so what is published goes
// to the streams after the handlers of a turn of the loop, all events of the turn in one write.
// A stream that does not keep up is buffered without a limit, and closed if it takes nothing for
// ten seconds.

#include <App.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace {

using Response = uWS::HttpResponse<false>;

struct Channel {
    std::unordered_set<Response*> streams;
    std::string due;  // events of this turn
};

std::unordered_map<std::string, Channel> channels;
std::unordered_set<std::string> dirty;
unsigned long long id = 0;

void encode(std::string& out, std::string_view data) {
    out.append("id: ").append(std::to_string(id)).append("\n");
    for (;;) {
        const size_t end = data.find('\n');
        out.append("data: ").append(data.substr(0, end)).append("\n");
        if (end == std::string_view::npos) break;
        data.remove_prefix(end + 1);
    }
    out.append("\n");
}

void flush(Channel& channel) {
    if (channel.due.empty()) return;
    for (Response* stream : channel.streams) {
        stream->cork([stream, &channel] { stream->write(channel.due); });
    }
    channel.due.clear();
}

void end_turn() {
    for (const std::string& name : dirty) {
        if (const auto found = channels.find(name); found != channels.end()) flush(found->second);
    }
    dirty.clear();
}

void subscribe(Response* response, uWS::HttpRequest* request) {
    const std::string name(request->getParameter(0));
    response->writeHeader("Content-Type", "text/event-stream");
    response->writeHeader("Cache-Control", "no-store");
    // The head ends with the first chunk.
    response->write(":\n\n");
    response->onAborted([name, response] {
        const auto found = channels.find(name);
        found->second.streams.erase(response);
        if (found->second.streams.empty()) channels.erase(found);
    });
    channels[name].streams.insert(response);
}

void publish(Response* response, uWS::HttpRequest* request) {
    const std::string name(request->getParameter(0));
    response->onAborted([] {});
    response->onData([name, response, body = std::string()](std::string_view part, bool last) mutable {
        body.append(part);
        if (!last) return;
        id += 1;
        size_t heard = 0;
        if (const auto found = channels.find(name); found != channels.end()) {
            encode(found->second.due, body);
            dirty.insert(name);
            heard = found->second.streams.size();
        }
        response->writeHeader("Content-Type", "application/json");
        response->end(R"({"id":")" + std::to_string(id) + R"(","subscribers":)" +
                      std::to_string(heard) + "}");
    });
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) return fputs("usage: server PORT\n", stderr), 2;
    uWS::Loop::get()->addPostHandler(&channels, [](uWS::Loop*) { end_turn(); });
    uWS::App()
        .get("/sse/:channel", subscribe)
        .post("/publish/:channel", publish)
        .listen("127.0.0.1", atoi(arguments[1]),
                [](us_listen_socket_t* listener) {
                    if (listener == nullptr) fputs("the port is taken\n", stderr), exit(1);
                })
        .run();
}

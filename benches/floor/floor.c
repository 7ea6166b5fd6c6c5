/* The floor of a fan-out: epoll, and a bare send() to every stream.
 *
 * GET  .../CHANNEL: the head of an event stream, then every event published to the channel.
 * POST .../CHANNEL: the body becomes the data of one event, sent to the channel's streams in a
 *                   plain loop.
 *
 * No tokens, histories, limits or slow readers: a send that does not fit is dropped and counted
 * (SIGTERM prints the count). What any server pays above this is the price of its work. With
 * `bare` streams are taken out of epoll: what is left of them in the kernel is the socket alone
 * (and their end is never noticed).
 *
 *   cc -O2 -Wall -Wextra -o floor floor.c && ./floor PORT [bare]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FDS_MAX = 1 << 20,
    EVENTS = 512,
    BODY_BYTES_MAX = 1 << 20,
    HEAD_BYTES_MAX = 16 << 10,
    CHANNELS_MAX = 1 << 17, /* a power of two */
    NAME_BYTES_MAX = 48
};

static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    "Cache-Control: no-cache, no-transform\r\nConnection: keep-alive\r\n\r\n:ok\nretry: 3000\n";

/* What has come of a request that is not complete yet. */
struct conn {
    char *held;
    size_t length;
    int channel; /* or -1 */
    int place;   /* among the channel's streams */
};

struct channel {
    char name[NAME_BYTES_MAX];
    int *streams;
    int count, room;
};

static struct conn *conns;
static struct channel *channels;
static int poll_fd, bare;
static unsigned long long number, dropped;
static volatile sig_atomic_t over;

static void stop(int signal) {
    (void)signal;
    over = 1;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void end(int fd) {
    struct conn *conn = &conns[fd];
    if (conn->channel >= 0) {
        struct channel *channel = &channels[conn->channel];
        int last = channel->streams[--channel->count];
        channel->streams[conn->place] = last;
        conns[last].place = conn->place;
    }
    free(conn->held);
    *conn = (struct conn){.channel = -1};
    close(fd);
}

/* The channel at the end of a request's path; -1 if there are too many. */
static int find_channel(const char *head) {
    const char *end = strpbrk(strchr(head, '/'), " ?");
    const char *name = end;
    while (name[-1] != '/')
        name--;
    size_t length = (size_t)(end - name);
    if (length >= NAME_BYTES_MAX)
        length = NAME_BYTES_MAX - 1;
    unsigned hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    for (unsigned i = 0; i < CHANNELS_MAX; i++) {
        unsigned at = (hash + i) % CHANNELS_MAX;
        struct channel *channel = &channels[at];
        if (!channel->name[0])
            memcpy(channel->name, name, length);
        if (!strncmp(channel->name, name, length) && !channel->name[length])
            return (int)at;
    }
    return -1;
}

static int add_stream(int fd, int number) {
    struct channel *channel = &channels[number];
    if (channel->count == channel->room) {
        int room = channel->room ? channel->room * 2 : 4;
        int *streams = realloc(channel->streams, (size_t)room * sizeof *streams);
        if (!streams)
            return -1;
        channel->streams = streams;
        channel->room = room;
    }
    conns[fd].channel = number;
    conns[fd].place = channel->count;
    channel->streams[channel->count++] = fd;
    if (bare)
        epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL);
    return 0;
}

static void publish(int fd, const struct channel *channel, const char *data, size_t length) {
    static char frame[BODY_BYTES_MAX + 128];
    char body[64], answer[256];
    int head = snprintf(frame, 128, "id: floor000-%llu\ndata: ", ++number);
    memcpy(frame + head, data, length);
    memcpy(frame + head + length, "\n\n", 2);
    size_t bytes = (size_t)head + length + 2;

    int body_bytes =
        snprintf(body, sizeof body, "{\"id\":\"floor000-%llu\",\"subscribers\":%d}", number,
                 channel->count);
    int answer_bytes = snprintf(answer, sizeof answer,
                                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                "Content-Length: %d\r\n\r\n%s",
                                body_bytes, body);
    if (send(fd, answer, (size_t)answer_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) != answer_bytes)
        dropped++;

    for (int i = 0; i < channel->count; i++)
        if (send(channel->streams[i], frame, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)bytes)
            dropped++;
}

/* The value of Content-Length in a head, 0 if there is none. */
static size_t content_length(const char *head, const char *head_end) {
    const char *line = head;
    while ((line = memchr(line, '\n', (size_t)(head_end - line)))) {
        line++;
        if (head_end - line > 15 && !strncasecmp(line, "content-length:", 15))
            return strtoul(line + 15, NULL, 10);
    }
    return 0;
}

/* Runs the complete requests in `bytes`; how many bytes they were, -1 to end the connection. */
static ssize_t run(int fd, const char *bytes, size_t length) {
    size_t used = 0;
    while (used < length) {
        const char *head = bytes + used;
        const char *blank = memmem(head, length - used, "\r\n\r\n", 4);
        if (!blank)
            return length - used > HEAD_BYTES_MAX ? -1 : (ssize_t)used;
        size_t body = content_length(head, blank + 2);
        size_t all = (size_t)(blank + 4 - head) + body;
        if (body > BODY_BYTES_MAX)
            return -1;
        if (all > length - used)
            return (ssize_t)used;
        if (!memchr(head, '/', (size_t)(blank - head)))
            return -1;
        int channel = find_channel(head);
        if (channel < 0)
            return -1;
        if (!strncmp(head, "POST", 4)) {
            publish(fd, &channels[channel], blank + 4, body);
        } else {
            if (add_stream(fd, channel))
                return -1;
            if (send(fd, STREAM_HEAD, sizeof STREAM_HEAD - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                return -1;
            return (ssize_t)length;
        }
        used += all;
    }
    return (ssize_t)used;
}

static void receive(int fd) {
    static char buffer[64 << 10];
    struct conn *conn = &conns[fd];
    ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        end(fd);
        return;
    }
    if (conn->channel >= 0)
        return; /* a stream has nothing more to say */
    const char *bytes = buffer;
    size_t length = (size_t)got;
    if (conn->held) {
        char *held = realloc(conn->held, conn->length + length);
        if (!held)
            die("realloc");
        memcpy(held + conn->length, buffer, length);
        conn->held = held;
        conn->length += length;
        bytes = held;
        length = conn->length;
    }
    ssize_t used = run(fd, bytes, length);
    if (used < 0) {
        end(fd);
        return;
    }
    size_t left = length - (size_t)used;
    char *rest = NULL;
    if (left > 0) {
        rest = malloc(left);
        if (!rest)
            die("malloc");
        memcpy(rest, bytes + used, left);
    }
    free(conn->held);
    conn->held = rest;
    conn->length = left;
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* inherited */
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 65535))
        die("listen");
    return fd;
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0)
            return;
        if (fd >= FDS_MAX) {
            close(fd);
            continue;
        }
        conns[fd] = (struct conn){.channel = -1};
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event))
            die("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 0;
    bare = argc == 3 && !strcmp(argv[2], "bare");
    if (port < 1 || port > 65535 || argc > 2 + bare) {
        fprintf(stderr, "usage: floor PORT [bare]\n");
        return 2;
    }
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    conns = calloc(FDS_MAX, sizeof *conns);
    channels = calloc(CHANNELS_MAX, sizeof *channels);
    poll_fd = epoll_create1(0);
    if (!conns || !channels || poll_fd < 0)
        die("start");
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int listener = listen_on(port);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event))
        die("epoll_ctl");
    struct epoll_event events[EVENTS];
    while (!over) {
        int count = epoll_wait(poll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                receive(events[i].data.fd);
        }
    }
    printf("events %llu, dropped sends %llu\n", number, dropped);
    return 0;
}

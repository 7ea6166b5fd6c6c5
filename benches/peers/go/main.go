// The peer: server-sent events on Go's standard library alone, as its users write them: net/http,
// a map of channels to their streams' queues, a Flusher.
//
// A stream whose queue is full loses the event: the publisher must not wait for the slowest one.
package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Events a stream's queue holds. It is allocated whole, 24 bytes an event, with each stream: more
// would lose less and take more memory.
const queue = 512

type hub struct {
	ids uint64
	sync.RWMutex
	channels map[string]map[chan []byte]struct{}
}

func (h *hub) subscribe(name string) chan []byte {
	events := make(chan []byte, queue)
	h.Lock()
	defer h.Unlock()
	if h.channels[name] == nil {
		h.channels[name] = make(map[chan []byte]struct{})
	}
	h.channels[name][events] = struct{}{}
	return events
}

func (h *hub) unsubscribe(name string, events chan []byte) {
	h.Lock()
	defer h.Unlock()
	delete(h.channels[name], events)
	if len(h.channels[name]) == 0 {
		delete(h.channels, name)
	}
}

func (h *hub) publish(name string, event []byte) int {
	h.RLock()
	defer h.RUnlock()
	for events := range h.channels[name] {
		select {
		case events <- event:
		default:
		}
	}
	return len(h.channels[name])
}

func encode(id uint64, data []byte) []byte {
	var event bytes.Buffer
	event.WriteString("id: " + strconv.FormatUint(id, 10) + "\n")
	for _, line := range bytes.Split(data, []byte("\n")) {
		event.WriteString("data: ")
		event.Write(line)
		event.WriteByte('\n')
	}
	event.WriteByte('\n')
	return event.Bytes()
}

func (h *hub) serveStream(w http.ResponseWriter, r *http.Request) {
	flusher, ok := w.(http.Flusher)
	if !ok {
		http.Error(w, "no streaming", http.StatusInternalServerError)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/sse/")
	events := h.subscribe(name)
	defer h.unsubscribe(name, events)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	flusher.Flush()
	for {
		select {
		case event := <-events:
			if _, err := w.Write(event); err != nil {
				return
			}
			flusher.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (h *hub) servePublish(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "POST", http.StatusMethodNotAllowed)
		return
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id := atomic.AddUint64(&h.ids, 1)
	heard := h.publish(strings.TrimPrefix(r.URL.Path, "/publish/"), encode(id, data))
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"id":"`+strconv.FormatUint(id, 10)+`","subscribers":`+strconv.Itoa(heard)+"}")
}

func main() {
	hub := &hub{channels: make(map[string]map[chan []byte]struct{})}
	http.HandleFunc("/sse/", hub.serveStream)
	http.HandleFunc("/publish/", hub.servePublish)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}

// Command service is a program that embeds a node and serves its keys by HTTP.
//
//	GET /keys/cart       200 and its siblings as a JSON list of base64 texts, oldest event first; the context in a header
//	PUT /keys/cart       writes the body; with the header it replaces what was seen, without it adds a sibling
//	DELETE /keys/cart    as PUT, without a body
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"example.org/quorate"
)

// contextHeader has what a client has seen of a key. It gives back what it was given, whatever that is.
const contextHeader = "X-Quorate-Context"

// bodyMax is the largest value that is taken.
const bodyMax = 1 << 20

// keys serves the keys of a node.
type keys struct{ node *quorate.Node }

// newHandler routes requests to a node.
func newHandler(node *quorate.Node) http.Handler {
	service, mux := keys{node}, http.NewServeMux()
	mux.HandleFunc("GET /keys/{key...}", service.get)
	mux.HandleFunc("PUT /keys/{key...}", service.put)
	mux.HandleFunc("DELETE /keys/{key...}", service.delete)
	return mux
}

func (k keys) get(w http.ResponseWriter, r *http.Request) {
	answer, err := k.node.Get(r.Context(), []byte(r.PathValue("key")), nil)
	// Of a deleted key there may be a context still, with which it is written anew.
	setContext(w, answer)
	if err != nil {
		refuse(w, err)
		return
	}
	values := make([][]byte, len(answer.Siblings))
	for at, sibling := range answer.Siblings {
		values[at] = sibling.Value
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(values)
}

func (k keys) put(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	k.write(w, r, func(ctx context.Context, key, seen []byte) (quorate.Answer, error) {
		return k.node.Put(ctx, key, value, seen, nil)
	})
}

func (k keys) delete(w http.ResponseWriter, r *http.Request) {
	k.write(w, r, func(ctx context.Context, key, seen []byte) (quorate.Answer, error) {
		return k.node.Delete(ctx, key, seen, nil)
	})
}

// write carries out a write with the context that its client gave.
func (k keys) write(w http.ResponseWriter, r *http.Request,
	write func(ctx context.Context, key, seen []byte) (quorate.Answer, error)) {
	seen, err := base64.StdEncoding.DecodeString(r.Header.Get(contextHeader))
	if err != nil {
		refuse(w, quorate.ErrContext)
		return
	}
	answer, err := write(r.Context(), []byte(r.PathValue("key")), seen)
	if err != nil {
		refuse(w, err)
		return
	}
	setContext(w, answer)
	w.WriteHeader(http.StatusNoContent)
}

func setContext(w http.ResponseWriter, answer quorate.Answer) {
	if answer.Context != nil {
		w.Header().Set(contextHeader, base64.StdEncoding.EncodeToString(answer.Context))
	}
}

// refuse tells a client why. 504 says that a write may have happened, 503 that it has not, or not everywhere.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	var failed *quorate.Error
	switch {
	case errors.Is(err, quorate.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, quorate.ErrContext), errors.Is(err, quorate.ErrArgument), errors.Is(err, quorate.ErrLimit):
		status = http.StatusBadRequest
	case errors.Is(err, quorate.ErrSiblings):
		status = http.StatusConflict
	case errors.As(err, &failed) && failed.Flags&quorate.Uncertain != 0:
		status = http.StatusGatewayTimeout
	}
	http.Error(w, err.Error(), status)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "where to serve HTTP")
	name := flag.String("name", "A", "this member")
	dir := flag.String("data", "", "its directory; none keeps records in memory")
	members := flag.String("members", "", "all members, NAME@HOST:PORT,…")
	flag.Parse()
	options := quorate.Options{Name: *name, Dir: *dir}
	if *members != "" {
		options.Members = strings.Split(*members, ",")
	}
	node, err := quorate.Open(options)
	if err != nil {
		log.Fatal(err)
	}
	if err := node.Start(); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: *listen, Handler: newHandler(node), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error)
	go func() { served <- server.ListenAndServe() }()
	var failed error
	select {
	case failed = <-served:
	case <-ctx.Done():
		// It returns when the handlers have: they still need the node.
		failed = server.Shutdown(context.Background())
	}
	if err := errors.Join(failed, node.Shutdown(5*time.Second)); err != nil {
		log.Fatal(err)
	}
}

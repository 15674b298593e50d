package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"example.org/quorate"
)

// asked sends a request and returns its status, the context of the answer, and its values, sorted.
func asked(t *testing.T, handler http.Handler, method, key, body, seen string) (int, string, []string) {
	t.Helper()
	request := httptest.NewRequest(method, "/keys/"+key, strings.NewReader(body))
	if seen != "" {
		request.Header.Set(contextHeader, seen)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	var values [][]byte
	if method == http.MethodGet && answer.Code == http.StatusOK {
		if err := json.Unmarshal(answer.Body.Bytes(), &values); err != nil {
			t.Fatal(err)
		}
	}
	var texts []string
	for _, value := range values {
		texts = append(texts, string(value))
	}
	slices.Sort(texts)
	return answer.Code, answer.Header().Get(contextHeader), texts
}

func TestSiblingsByHTTP(t *testing.T) {
	node, err := quorate.Open(quorate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	handler := newHandler(node)
	var seen string
	step := func(method, body, context string, status int, want ...string) {
		t.Helper()
		got, next, values := asked(t, handler, method, "a/cart", body, context)
		if got != status || !slices.Equal(values, want) {
			t.Errorf("%s answers %d %q, not %d %q", method, got, values, status, want)
		}
		if method == http.MethodGet {
			seen = next
		}
	}
	step("GET", "", "", 404)
	step("PUT", "milk", "", 204)
	step("PUT", "eggs", "", 204)
	step("GET", "", "", 200, "eggs", "milk")
	step("PUT", "milk,eggs", seen, 204)
	step("GET", "", "", 200, "milk,eggs")
	step("PUT", "x", "no base64!", 400)
	step("PUT", "x", "bm9uZQ==", 400)
	step("PUT", strings.Repeat("x", bodyMax+1), "", 413)
	step("DELETE", "", seen, 204)
	step("GET", "", "", 404)
	if seen == "" {
		t.Error("a deleted key has no context")
	}
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	step("GET", "", "", 503)
}

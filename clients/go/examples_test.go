package webhooks_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
)

func TestTheReadmeShowsTheExamplesAsTheyAre(t *testing.T) {
	readme := string(must(os.ReadFile("README.md"))(t))
	var blocks, examples []string
	for _, match := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		blocks = append(blocks, match[1])
	}
	for _, path := range must(filepath.Glob("examples/*/main.go"))(t) {
		examples = append(examples, string(must(os.ReadFile(path))(t)))
	}
	sort.Strings(blocks)
	sort.Strings(examples)
	if len(examples) == 0 || !reflect.DeepEqual(blocks, examples) {
		t.Error("README.md shows other code than examples/")
	}
}

func TestTheExamples(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"publish", "publish_many", "endpoint", "watch", "receive"} {
		command := exec.Command("go", "build", "-o", filepath.Join(folder, name), "./examples/"+name)
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
	}
	s := newServer(t).start(t)
	r := newReceiver(t, s)
	example := func(name string, arguments ...string) *exec.Cmd {
		command := exec.Command(filepath.Join(folder, name), arguments...)
		command.Env = append(os.Environ(), "KEEPTRUSTS_WEBHOOKS_ADDRESS="+s.address(), "KEEPTRUSTS_WEBHOOKS_API_KEY="+s.key)
		command.Stderr = os.Stderr
		return command
	}

	if output := must(example("publish").Output())(t); !regexp.MustCompile(`^published evt_\w+\n$`).Match(output) {
		t.Errorf("%s", output)
	}
	many := example("publish_many")
	many.Stdin = strings.NewReader("{\"n\": 1}\n{\"n\": 2}\n[]\n")
	if output := string(must(many.Output())(t)); output != "published 2\n" {
		t.Error(output)
	}
	output := must(example("endpoint", r.URL).Output())(t)
	created := regexp.MustCompile(`created ep_\w+ with the secret (whsec_\S+)\n`).FindSubmatch(output)
	if created == nil {
		t.Fatalf("%s", output)
	}

	var shown buffer
	watch := example("watch")
	start(t, watch, &shown)
	client := s.client(t, webhooks.Options{})
	eventually(t, "the example sees a delivery", func() bool {
		_ = must(client.Publish(ctx, "default", violation(struct{}{})))(t)
		time.Sleep(100 * time.Millisecond)
		return strings.Contains(shown.String(), "DELIVERED")
	})

	port := freePort(t)
	receive := example("receive", fmt.Sprint(port))
	receive.Env = append(receive.Env, "WEBHOOK_SECRET="+string(created[1]))
	var received buffer
	start(t, receive, &received)
	status := func(body string, header http.Header) int {
		request := must(http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d", port), strings.NewReader(body)))(t)
		request.Header = header
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		response.Body.Close()
		return response.StatusCode
	}
	eventually(t, "the example listens", func() bool { return status("", http.Header{}) == http.StatusBadRequest })
	got := r.received()[0]
	if code := status(string(got.body), got.header); code != http.StatusNoContent {
		t.Error(code)
	}
	if code := status(string(got.body)+" ", got.header); code != http.StatusBadRequest {
		t.Error(code)
	}
	if want := fmt.Sprintf("received %s %s\n", got.header.Get("webhook-id"), got.body); received.String() != want {
		t.Error(received.String())
	}
}

// start runs an example that goes on for ever.
func start(t *testing.T, command *exec.Cmd, output *buffer) {
	t.Helper()
	command.Stdout = output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
}

type buffer struct {
	mutex sync.Mutex
	bytes bytes.Buffer
}

func (b *buffer) Write(text []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.Write(text)
}

func (b *buffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.String()
}

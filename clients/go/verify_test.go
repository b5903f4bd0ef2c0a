package webhooks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
)

type verification struct {
	Name       string            `json:"name"`
	Secrets    []string          `json:"secrets"`
	Headers    map[string]string `json:"headers"`
	Body       *string           `json:"body"`
	BodyBase64 []byte            `json:"body_base64"`
	Now        int64             `json:"now"`
	Tolerance  int64             `json:"tolerance_seconds"`
	Standard   string            `json:"standard"`
	Keeptrusts string            `json:"keeptrusts"`
}

func result(t *testing.T, err error) string {
	t.Helper()
	var invalid *webhooks.VerificationError
	if err == nil {
		return "valid"
	}
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	return invalid.Reason
}

func TestWhatAReceiverGetsIsJudgedAsTheVectorsSay(t *testing.T) {
	var vectors struct {
		Verifications []verification `json:"verifications"`
	}
	if err := json.Unmarshal(must(os.ReadFile("../../testdata/signatures.json"))(t), &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Verifications) < 50 {
		t.Fatal("there are vectors")
	}
	for _, vector := range vectors.Verifications {
		body, header := vector.BodyBase64, http.Header{}
		if vector.Body != nil {
			body = []byte(*vector.Body)
		}
		for name, value := range vector.Headers {
			header.Set(name, value)
		}
		verifier := webhooks.Verifier{
			Secrets:   vector.Secrets,
			Tolerance: time.Duration(vector.Tolerance) * time.Second,
			Now:       func() time.Time { return time.Unix(vector.Now, 0) },
		}
		if vector.Tolerance == 0 {
			verifier.Tolerance = -1
		}
		_, err := verifier.Verify(header, body)
		if got := result(t, err); got != vector.Standard {
			t.Errorf("%s: webhook-signature is %s, not %s", vector.Name, got, vector.Standard)
		}
		if got := result(t, verifier.VerifyBody(header, body)); got != vector.Keeptrusts {
			t.Errorf("%s: X-Keeptrusts-Signature is %s, not %s", vector.Name, got, vector.Keeptrusts)
		}
	}
}

func TestAMissingOrBrokenSecretIsNoFaultOfTheRequest(t *testing.T) {
	header := http.Header{}
	header.Set("webhook-id", "evt_1")
	header.Set("webhook-timestamp", "1")
	header.Set("webhook-signature", "v1,"+strings.Repeat("A", 43)+"=")
	for _, secrets := range [][]string{nil, {""}, {"whsec_%%%"}} {
		_, err := webhooks.Verify(header, nil, secrets...)
		var invalid *webhooks.VerificationError
		if err == nil || errors.As(err, &invalid) || strings.Contains(err.Error(), "%%%") {
			t.Errorf("%v: %v", secrets, err)
		}
	}
	verifier := webhooks.Verifier{Secrets: []string{"the secret text"}}
	if text := fmt.Sprintf("%v %+v %#v %s", verifier, verifier, verifier, verifier); strings.Contains(text, "secret text") {
		t.Error(text)
	}
}

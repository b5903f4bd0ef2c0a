package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// DefaultTolerance is how far webhook-timestamp may be from the receiver's clock.
const DefaultTolerance = 5 * time.Minute

// Why a request is not a valid delivery.
const (
	MissingHeader   = "missing_header"
	MalformedHeader = "malformed_header"
	BadSignature    = "bad_signature"
	TimestampTooOld = "timestamp_too_old"
	TimestampTooNew = "timestamp_too_new"
)

// VerificationError says why a request is not a valid delivery. Answer it with 400 and do nothing else.
type VerificationError struct {
	// Reason is one of MissingHeader and the following ones.
	Reason  string
	Message string
}

func (e *VerificationError) Error() string { return e.Message }

// Verifier verifies deliveries. docs/receiving.md explains the signatures.
type Verifier struct {
	// Secrets are the endpoint's secrets as shown: one, and while you replace it, the old one too.
	Secrets []string
	// Tolerance is how far webhook-timestamp may be from the clock. 0: DefaultTolerance. Negative: not at all.
	Tolerance time.Duration
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// String does not show the secrets.
func (v Verifier) String() string {
	return fmt.Sprintf("webhooks.Verifier with %d secrets", len(v.Secrets))
}

// GoString does not show the secrets.
func (v Verifier) GoString() string { return v.String() }

// Verify is Verifier.Verify with the default tolerance.
func Verify(header http.Header, body []byte, secrets ...string) (eventID string, err error) {
	return Verifier{Secrets: secrets}.Verify(header, body)
}

// VerifyBody is Verifier.VerifyBody.
func VerifyBody(header http.Header, body []byte, secrets ...string) error {
	return Verifier{Secrets: secrets}.VerifyBody(header, body)
}

var (
	idForm        = regexp.MustCompile(`^[!-\-/-~]+$`) // visible ASCII without the dot
	timestampForm = regexp.MustCompile(`^[0-9]{1,12}$`)
	standardForm  = regexp.MustCompile(`^v1,[A-Za-z0-9+/]{43}=$`)
	hexForm       = regexp.MustCompile(`^sha256=[0-9A-Fa-f]{64}$`)
)

// Verify verifies webhook-signature (Standard Webhooks 1.0), which signs the body, the id and the time. The body
// is the raw one, before it is parsed.
//
// It returns webhook-id, the event's id, by which duplicates are known. A request that is not valid is a
// *VerificationError.
func (v Verifier) Verify(header http.Header, body []byte) (eventID string, err error) {
	id, err := required(header, "webhook-id", idForm, "must be visible ASCII without a dot")
	if err != nil {
		return "", err
	}
	timestamp, err := required(header, "webhook-timestamp", timestampForm, "must be 1 to 12 digits")
	if err != nil {
		return "", err
	}
	entries := header.Get("webhook-signature")
	if entries == "" {
		return "", &VerificationError{MissingHeader, "webhook-signature is missing"}
	}
	signatures := matching(standardForm, strings.Split(entries, " "))
	if len(signatures) == 0 {
		return "", &VerificationError{MalformedHeader, "webhook-signature has no signature of the form v1,BASE64"}
	}
	expected, err := v.expected(func(secret string) (string, error) {
		key, err := standardKey(secret)
		return "v1," + base64.StdEncoding.EncodeToString(sign(key, []byte(id+"."+timestamp+"."), body)), err
	})
	if err != nil {
		return "", err
	}
	if !anyEqual(expected, signatures) {
		return "", &VerificationError{BadSignature, "no secret made any of the signatures in webhook-signature"}
	}
	return id, v.checkTime(timestamp)
}

func (v Verifier) checkTime(timestamp string) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return &VerificationError{MalformedHeader, "webhook-timestamp must be a number"}
	}
	now, tolerance := time.Now, v.Tolerance
	if v.Now != nil {
		now = v.Now
	}
	if tolerance == 0 {
		tolerance = DefaultTolerance
	} else if tolerance < 0 {
		tolerance = 0
	}
	age := now().Sub(time.Unix(seconds, 0))
	if age > tolerance {
		return &VerificationError{TimestampTooOld, fmt.Sprintf("the request was signed %s ago", age)}
	}
	if -age > tolerance {
		return &VerificationError{TimestampTooNew, fmt.Sprintf("the request was signed %s in the future", -age)}
	}
	return nil
}

// VerifyBody verifies X-Keeptrusts-Signature and X-Keeptrusts-Signature-Previous, which sign only the body.
//
// Prefer Verify: these signatures have no time, so that anybody who recorded a request can send it again.
func (v Verifier) VerifyBody(header http.Header, body []byte) error {
	var found []string
	for _, name := range []string{"X-Keeptrusts-Signature", "X-Keeptrusts-Signature-Previous"} {
		if value := header.Get(name); value != "" {
			found = append(found, value)
		}
	}
	if len(found) == 0 {
		return &VerificationError{MissingHeader, "X-Keeptrusts-Signature is missing"}
	}
	signatures := matching(hexForm, found)
	if len(signatures) == 0 {
		return &VerificationError{MalformedHeader, "X-Keeptrusts-Signature must be sha256= and 64 hex digits"}
	}
	for i := range signatures {
		signatures[i] = strings.ToLower(signatures[i])
	}
	expected, err := v.expected(func(secret string) (string, error) {
		return "sha256=" + hex.EncodeToString(sign([]byte(secret), body)), nil
	})
	if err != nil {
		return err
	}
	if !anyEqual(expected, signatures) {
		return &VerificationError{BadSignature, "no secret made the signature in X-Keeptrusts-Signature"}
	}
	return nil
}

func (v Verifier) expected(signature func(secret string) (string, error)) ([]string, error) {
	if len(v.Secrets) == 0 {
		return nil, errNoSecret
	}
	var expected []string
	for _, secret := range v.Secrets {
		if secret == "" {
			return nil, errNoSecret
		}
		one, err := signature(secret)
		if err != nil {
			return nil, err
		}
		expected = append(expected, one)
	}
	return expected, nil
}

var (
	errNoSecret  = errors.New("give the endpoint's secret")
	errBadSecret = errors.New("a secret that begins with whsec_ must go on with base64")
)

// standardKey is the key of Standard Webhooks: what is encoded after whsec_, or else the text itself.
func standardKey(secret string) ([]byte, error) {
	encoded := strings.TrimPrefix(secret, "whsec_")
	if encoded == secret {
		return []byte(secret), nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errBadSecret
	}
	return key, nil
}

func required(header http.Header, name string, form *regexp.Regexp, rule string) (string, error) {
	value := header.Get(name)
	if value == "" {
		return "", &VerificationError{MissingHeader, name + " is missing"}
	}
	if !form.MatchString(value) {
		return "", &VerificationError{MalformedHeader, name + " " + rule}
	}
	return value, nil
}

func matching(form *regexp.Regexp, values []string) []string {
	var found []string
	for _, value := range values {
		if form.MatchString(value) {
			found = append(found, value)
		}
	}
	return found
}

func sign(key []byte, message ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range message {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// anyEqual takes the same time wherever the texts differ.
func anyEqual(expected, signatures []string) bool {
	found := false
	for _, one := range expected {
		for _, other := range signatures {
			if hmac.Equal([]byte(one), []byte(other)) {
				found = true
			}
		}
	}
	return found
}

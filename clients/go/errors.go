package webhooks

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// FieldViolation is a field of the request that breaks its rule.
type FieldViolation struct {
	// Field is its path in the request, for example endpoint.url.
	Field       string
	Description string
}

// Error is a call that failed; errors.As finds it. It is a gRPC status too, for status.FromError.
type Error struct {
	Code    codes.Code
	Message string
	// Reason is what programs match: docs/api.md lists the reasons. Empty if the server gave none.
	Reason          string
	FieldViolations []FieldViolation
	// RetryDelay is nil unless the server says that a retry helps.
	RetryDelay *time.Duration
	// RequestID is by what the operator finds the call in logs and traces.
	RequestID string
	// Attempts is how often the call was tried. The error is that of the last attempt that got one.
	Attempts int

	status         *status.Status
	gaveUpAfter    time.Duration
	isNotConnected bool // The request was not sent.
	isDistrust     bool // The same, because of a certificate, which does not pass with time.
	hasAnotherKey  bool // The key was refused, and its file has another one now.
}

func (e *Error) Error() string {
	var text strings.Builder
	if e.gaveUpAfter > 0 {
		fmt.Fprintf(&text, "gave up after %d attempts in %.1f s; the last error: ", e.Attempts, e.gaveUpAfter.Seconds())
	}
	text.WriteString(e.Code.String())
	if e.Reason != "" {
		text.WriteString(" " + e.Reason)
	}
	text.WriteString(": " + e.Message)
	for _, violation := range e.FieldViolations {
		fmt.Fprintf(&text, "; %s: %s", violation.Field, violation.Description)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&text, " (request %s)", e.RequestID)
	}
	return text.String()
}

// GRPCStatus is for status.FromError and status.Code.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// ErrorOf makes an Error of the google.rpc.Status that items of batches have.
func ErrorOf(item *spb.Status) *Error { return errorOf(status.FromProto(item), nil) }

// callError makes an Error of what gRPC returns. Other errors, such as io.EOF, stay what they are.
func callError(err error, metadata ...metadata.MD) error {
	var already *Error
	if err == nil || errors.As(err, &already) {
		return err
	}
	if found, ok := status.FromError(err); ok {
		return errorOf(found, metadata)
	}
	return err
}

func errorOf(found *status.Status, metadata []metadata.MD) *Error {
	e := &Error{Code: found.Code(), Message: found.Message(), Attempts: 1, status: found}
	e.isNotConnected = e.Code == codes.Unavailable && strings.Contains(e.Message, notConnected)
	for _, md := range metadata {
		if values := md.Get("x-request-id"); e.RequestID == "" && len(values) > 0 {
			e.RequestID = values[0]
		}
	}
	for _, detail := range found.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason = detail.GetReason()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				found := FieldViolation{Field: violation.GetField(), Description: violation.GetDescription()}
				e.FieldViolations = append(e.FieldViolations, found)
			}
		case *errdetails.RetryInfo:
			delay := detail.GetRetryDelay()
			wait := time.Duration(delay.GetSeconds())*time.Second + time.Duration(delay.GetNanos())
			e.RetryDelay = &wait
		case *errdetails.RequestInfo:
			if e.RequestID == "" {
				e.RequestID = detail.GetRequestId()
			}
		}
	}
	return e
}

// notConnected is in the text of gRPC's own UNAVAILABLE if it could not connect.
const notConnected = `desc = "transport: Error while dialing`

// IsTemporary is whether the same request may succeed later, and has not been refused for good.
func (e *Error) IsTemporary() bool {
	return !e.isDistrust && (e.Code == codes.Unavailable || e.RetryDelay != nil)
}

// after is the same error of a call that is not tried again after so many attempts.
func (e *Error) after(attempts int, took time.Duration) *Error {
	e.Attempts = attempts
	if attempts > 1 && e.IsTemporary() {
		e.gaveUpAfter = took
	}
	return e
}

// temporary returns the error if the same request may succeed later.
func temporary(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e.IsTemporary() {
		return e
	}
	return nil
}

// keyRefusals decides whether to go on with another key: once, until the server has accepted one again. It refuses a
// key before it does anything, so that every call may be repeated with another one.
type keyRefusals struct{ isUsed bool }

func (k *keyRefusals) accepted() { k.isUsed = false }

func (k *keyRefusals) goesOn(err error) bool {
	var e *Error
	if k.isUsed || !errors.As(err, &e) || !e.hasAnotherKey {
		return false
	}
	k.isUsed = true
	return true
}

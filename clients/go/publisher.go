package webhooks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/keeptrusts/webhooks/clients/go/webhooksv1"
)

// maxPendingBytes is how many bytes of events may be waiting for their acknowledgements.
const maxPendingBytes = 16 << 20

// maxEventBytes is what the server reads; it would end the stream for a larger message. The rest is for the item around it.
const maxEventBytes = 4<<20 - 64

// ErrClosed is returned by a publisher that was closed.
var ErrClosed = errors.New("the publisher is closed")

// PublisherOptions is what a publisher is made with.
type PublisherOptions struct {
	// MaxPending is how many events may wait for their acknowledgements. Further ones wait for room. 0: 1,000.
	MaxPending int
	// RetryFor is how long to go on without a server before the events fail. 0: 5 minutes.
	RetryFor time.Duration
}

// Publication is an event that was taken by a publisher.
type Publication struct {
	request  *webhooksv1.PublishEventRequest
	size     int
	done     chan struct{}
	response *webhooksv1.PublishEventResponse
	err      error
}

// Wait waits until the event is committed. It fails with *Error if the event is refused.
func (p *Publication) Wait(ctx context.Context) (*webhooksv1.PublishEventResponse, error) {
	select {
	case <-p.done:
		return p.response, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *Publication) finish(response *webhooksv1.PublishEventResponse, err error) {
	p.response, p.err = response, err
	close(p.done)
}

// Publisher publishes events over one stream, as fast as they are committed; safe for concurrent use.
//
// What is not acknowledged when the connection ends is sent again with the same idempotency key, and counts once.
// Close it, so that nothing is left behind. When a function may return early, `defer publisher.Abort()` gives up what
// is not acknowledged then; after Close it does nothing.
type Publisher struct {
	ctx            context.Context // done when the publisher is aborted
	cancel         context.CancelFunc
	client         *Client
	organizationID string
	options        PublisherOptions
	ended          chan struct{}

	mutex   sync.Mutex
	changed chan struct{} // closed, and made anew, at each change
	closing bool
	unsent  []*Publication
	givenUp []*Publication // by Abort
	// What was sent on the present stream, by sequence number. These rise for ever, over all streams.
	sent           map[int64]*Publication
	sequenceNumber int64
	bytes          int
	stream         int       // the number of the present stream: what sends on older ones ends
	resumeAt       time.Time // until then nothing is sent, as the server asked
	refusals       int
	failures       int // streams since the last acknowledgement
	keyRefusals    keyRefusals
	lastSuccess    time.Time
}

// Publisher makes a publisher for many events at once: they go over one stream and are committed in batches.
func (c *Client) Publisher(organizationID string, options PublisherOptions) *Publisher {
	if options.MaxPending <= 0 {
		options.MaxPending = 1_000
	}
	if options.RetryFor == 0 {
		options.RetryFor = 5 * time.Minute
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Publisher{
		ctx:            ctx,
		cancel:         cancel,
		client:         c,
		organizationID: organizationID,
		options:        options,
		ended:          make(chan struct{}),
		changed:        make(chan struct{}),
		sent:           map[int64]*Publication{},
	}
	go p.run()
	return p
}

// Publish takes an event, as soon as there is room.
func (p *Publisher) Publish(ctx context.Context, event Event) (*Publication, error) {
	request, err := event.request(p.organizationID)
	if err != nil {
		return nil, err
	}
	publication := &Publication{request: request, size: proto.Size(request), done: make(chan struct{})}
	if publication.size > maxEventBytes {
		return nil, fmt.Errorf("the event has %d bytes; it may have %d", publication.size, maxEventBytes)
	}
	err = p.wait(ctx, func() bool { return p.closing || p.hasRoom(publication.size) }, func() error {
		if p.closing {
			return ErrClosed
		}
		if p.pending() == 0 {
			p.lastSuccess = time.Now()
		}
		p.unsent = append(p.unsent, publication)
		p.bytes += publication.size
		p.notify()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return publication, nil
}

// Flush waits until every event that was taken is acknowledged or refused.
func (p *Publisher) Flush(ctx context.Context) error {
	return p.wait(ctx, func() bool { return p.pending() == 0 }, func() error { return nil })
}

// Close takes no more events, and waits until the others are acknowledged or refused. If the context ends before, they
// are still being sent; Abort ends that.
func (p *Publisher) Close(ctx context.Context) error {
	p.mutex.Lock()
	p.closing = true
	p.notify()
	p.mutex.Unlock()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Abort takes no more events, and gives up those that are not acknowledged, without waiting. Their publications fail
// with CANCELLED, and Unacknowledged has them.
func (p *Publisher) Abort() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.closing = true
	p.stream++
	p.sendAgain()
	p.givenUp = append(p.givenUp, p.unsent...)
	p.fail(errorOf(status.New(codes.Canceled, "the publisher was stopped before the event was acknowledged; it is not known whether it was accepted"), nil))
	p.notify()
	p.cancel()
}

// Unacknowledged returns the events that are not acknowledged yet, or were given up by Abort, in the order of their
// publishing. The server may have accepted some of them. They have their idempotency keys, so that each counts once if
// it is published again, by Ingest.PublishEvent.
func (p *Publisher) Unacknowledged() []*webhooksv1.PublishEventRequest {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var requests []*webhooksv1.PublishEventRequest
	for _, publications := range [][]*Publication{p.givenUp, p.sentInOrder(), p.unsent} {
		for _, publication := range publications {
			requests = append(requests, proto.Clone(publication.request).(*webhooksv1.PublishEventRequest))
		}
	}
	return requests
}

// wait waits for a condition, and does something while it holds.
func (p *Publisher) wait(ctx context.Context, condition func() bool, then func() error) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for !condition() {
		changed := p.changed
		p.mutex.Unlock()
		select {
		case <-changed:
			p.mutex.Lock()
		case <-ctx.Done():
			p.mutex.Lock()
			return ctx.Err()
		}
	}
	return then()
}

func (p *Publisher) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Publisher) pending() int { return len(p.unsent) + len(p.sent) }

func (p *Publisher) hasRoom(size int) bool {
	return p.pending() == 0 || (p.pending() < p.options.MaxPending && p.bytes+size <= maxPendingBytes)
}

func (p *Publisher) run() {
	defer close(p.ended)
	defer p.cancel()
	for {
		var stream int
		isOver := false
		_ = p.wait(context.Background(), func() bool { return p.closing || p.pending() > 0 }, func() error {
			isOver = p.pending() == 0
			p.stream++
			stream = p.stream
			return nil
		})
		if isOver {
			return
		}
		_ = sleep(p.ctx, p.restart(p.send(stream)))
	}
}

// restart makes ready for another stream, and says how long to wait before it: what was not acknowledged is sent
// again, in the same order.
func (p *Publisher) restart(err error) time.Duration {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.stream++
	p.failures++
	p.sendAgain()
	defer p.notify()
	if err == nil || p.keyRefusals.goesOn(err) {
		return 0
	}
	e := temporary(err)
	waited := time.Since(p.lastSuccess)
	if e == nil || waited > p.options.RetryFor {
		if e != nil {
			err = e.after(p.failures, waited)
		}
		p.fail(err)
	}
	return p.client.retryPolicy.wait(p.failures, e)
}

func (p *Publisher) sentInOrder() []*Publication {
	numbers := make([]int64, 0, len(p.sent))
	for number := range p.sent {
		numbers = append(numbers, number)
	}
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	publications := make([]*Publication, 0, p.pending())
	for _, number := range numbers {
		publications = append(publications, p.sent[number])
	}
	return publications
}

func (p *Publisher) sendAgain() {
	p.unsent = append(p.sentInOrder(), p.unsent...)
	p.sent = map[int64]*Publication{}
}

// fail gives up what waits to be sent.
func (p *Publisher) fail(err error) {
	for _, publication := range p.unsent {
		publication.finish(nil, err)
	}
	p.unsent, p.bytes = nil, 0
}

// send uses one stream: why it ended.
func (p *Publisher) send(number int) error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	stream, err := p.client.Ingest.StreamEvents(ctx)
	if err != nil {
		return err
	}
	go func() {
		for item := p.next(ctx, number); item != nil; item = p.next(ctx, number) {
			if stream.Send(item) != nil {
				return // Recv says why.
			}
		}
		_ = stream.CloseSend()
	}()
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p.acknowledge(response)
	}
}

// next waits for the next item of a stream. Nil: nothing is left to be sent, or the stream has ended.
func (p *Publisher) next(ctx context.Context, stream int) *webhooksv1.StreamEventsRequest {
	for {
		p.mutex.Lock()
		if stream != p.stream || (p.closing && p.pending() == 0) {
			p.mutex.Unlock()
			return nil
		}
		pause := time.Until(p.resumeAt)
		if pause <= 0 && len(p.unsent) > 0 {
			publication := p.unsent[0]
			p.unsent = p.unsent[1:]
			p.sequenceNumber++
			p.sent[p.sequenceNumber] = publication
			item := &webhooksv1.StreamEventsRequest{SequenceNumber: p.sequenceNumber, Request: publication.request}
			p.mutex.Unlock()
			return item
		}
		changed := p.changed
		p.mutex.Unlock()
		if pause > 0 {
			changed = nil
		} else {
			pause = time.Hour
		}
		timer := time.NewTimer(pause)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (p *Publisher) acknowledge(response *webhooksv1.StreamEventsResponse) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.failures = 0
	p.keyRefusals.accepted()
	publication, ok := p.sent[response.GetSequenceNumber()]
	if !ok {
		return
	}
	delete(p.sent, response.GetSequenceNumber())
	defer p.notify()
	var err error
	if refusal := response.GetStatus(); refusal != nil {
		err = ErrorOf(refusal)
	}
	if e := temporary(err); e != nil {
		p.unsent = append(p.unsent, publication)
		p.refusals++
		p.resumeAt = time.Now().Add(p.client.retryPolicy.wait(p.refusals, e))
		return
	}
	p.refusals = 0
	p.lastSuccess = time.Now()
	p.bytes -= publication.size
	publication.finish(response.GetResponse(), err)
}

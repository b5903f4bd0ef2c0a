package webhooks

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Iterator reads the items of all pages of a list.
type Iterator[Item proto.Message] struct {
	nextPage func() (page protoreflect.Message, err error)
	items    []Item
	item     Item
	isLast   bool
	err      error
}

// Iterate reads a list, for example that of Endpoints.ListEndpoints:
//
//	endpoints := webhooks.Iterate[*webhooksv1.Endpoint](ctx, client.Endpoints.ListEndpoints, request)
//	for endpoints.Next() {
//		use(endpoints.Item())
//	}
//	return endpoints.Err()
//
// The request is that of the first page; its page size is the size of all pages.
func Iterate[Item, Request, Response proto.Message](
	ctx context.Context,
	list func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request,
) *Iterator[Item] {
	request = proto.Clone(request).(Request)
	token := request.ProtoReflect().Descriptor().Fields().ByName("page_token")
	return &Iterator[Item]{nextPage: func() (protoreflect.Message, error) {
		response, err := list(ctx, request)
		if err != nil {
			return nil, err
		}
		page := response.ProtoReflect()
		next := page.Descriptor().Fields().ByName("next_page_token")
		if token == nil || next == nil {
			return nil, fmt.Errorf("%s is no page of a list", page.Descriptor().Name())
		}
		request.ProtoReflect().Set(token, page.Get(next))
		return page, nil
	}}
}

// Next reads the next item. False: there is none, or Err says why it could not be read.
func (i *Iterator[Item]) Next() bool {
	for len(i.items) == 0 {
		if i.isLast || i.err != nil {
			return false
		}
		page, err := i.nextPage()
		if err == nil {
			i.isLast = page.Get(page.Descriptor().Fields().ByName("next_page_token")).String() == ""
			i.items, err = itemsOf[Item](page)
		}
		i.err = err
	}
	i.item, i.items = i.items[0], i.items[1:]
	return true
}

// Item is the item that Next has read.
func (i *Iterator[Item]) Item() Item { return i.item }

// Err is why Next returned false, or nil at the end of the list.
func (i *Iterator[Item]) Err() error { return i.err }

// itemsOf reads the only list of a page whose messages are of this type.
func itemsOf[Item proto.Message](page protoreflect.Message) ([]Item, error) {
	var kind Item
	fields := page.Descriptor().Fields()
	for i := 0; i < fields.Len(); i++ {
		if field := fields.Get(i); field.IsList() && field.Message() == kind.ProtoReflect().Descriptor() {
			list := page.Get(field).List()
			items := make([]Item, list.Len())
			for j := range items {
				items[j] = list.Get(j).Message().Interface().(Item)
			}
			return items, nil
		}
	}
	return nil, fmt.Errorf("%s is no page of %s", page.Descriptor().Name(), kind.ProtoReflect().Descriptor().Name())
}

// Watcher reads the changes of a watch.
type Watcher[Change proto.Message] struct {
	ctx      context.Context
	open     func(resumeToken string) (receiver[Change], error)
	resumes  bool
	token    string
	stream   receiver[Change]
	failures int
	refusals keyRefusals
	change   Change
	err      error
}

type receiver[Change proto.Message] interface {
	Recv() (Change, error)
}

// Watch reads the changes of a watch, for example of Dispatch.WatchDeliveries, over as many connections as it
// takes:
//
//	changes := webhooks.Watch[*webhooksv1.WatchDeliveriesResponse](ctx, client.Dispatch.WatchDeliveries, request)
//	for changes.Next() {
//		use(changes.Change())
//	}
//	return changes.Err()
//
// It goes on where it was with the last resume token, so that no change is lost from its beginning on. It ends with
// the replay (WatchReplay), with the context, or when the server refuses it or cannot be trusted.
func Watch[Change, Request proto.Message, Stream receiver[Change]](
	ctx context.Context,
	watch func(context.Context, Request, ...grpc.CallOption) (Stream, error),
	request Request,
) *Watcher[Change] {
	request = proto.Clone(request).(Request)
	field := request.ProtoReflect().Descriptor().Fields().ByName("resume_token")
	return &Watcher[Change]{ctx: ctx, resumes: field != nil, open: func(token string) (receiver[Change], error) {
		if token != "" {
			request.ProtoReflect().Set(field, protoreflect.ValueOfString(token))
		}
		return watch(ctx, request)
	}}
}

// Next waits for the next change. False: the watch has ended, and Err says why.
func (w *Watcher[Change]) Next() bool {
	for w.err == nil {
		var err error
		if w.stream == nil {
			w.stream, err = w.open(w.token)
		}
		if err == nil {
			w.change, err = w.stream.Recv()
		}
		if err == nil {
			w.failures = 0
			w.refusals.accepted()
			if w.hasContent() {
				return true
			}
			continue
		}
		w.stream = nil
		if w.refusals.goesOn(err) {
			continue
		}
		isOver := errors.Is(err, io.EOF)
		if isOver && !w.resumes {
			return false
		}
		if !isOver && temporary(err) == nil {
			w.err = err
			return false
		}
		w.failures++
		if sleep(w.ctx, RetryPolicy{}.wait(w.failures, temporary(err))) != nil {
			w.err = w.ctx.Err()
		}
	}
	return false
}

// hasContent takes the token of what was received, and says whether there is more in it than that.
func (w *Watcher[Change]) hasContent() bool {
	if !w.resumes {
		return true
	}
	found := false
	w.change.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Name() == "resume_token" {
			w.token = value.String()
		} else {
			found = true
		}
		return true
	})
	return found
}

// Change is the change that Next has read.
func (w *Watcher[Change]) Change() Change { return w.change }

// Err is why Next returned false: nil if what was watched has ended.
func (w *Watcher[Change]) Err() error { return w.err }

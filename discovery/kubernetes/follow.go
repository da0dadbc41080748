package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// longWatch is how long a watch lasts that ends as planned: the reflector asks the API
// server to end it after five to ten minutes.
const longWatch = time.Minute

// follower keeps a view up to date. client-go's reflector knows how: by a streaming list
// or, from servers that have none, a list and a watch; from the version that it knew
// last, or the newest if that is too old. All of it but list runs in the goroutine of
// Watch.
type follower struct {
	*view
	reflector *cache.Reflector
	try
}

// try is one list and the watch that follows it.
type try struct {
	ctx       context.Context //nolint:containedctx // of the store's methods, which have none
	stop      context.CancelCauseFunc
	healthy   func()
	budget    *budget
	late      *time.Timer // ends a streaming list that is not complete in time
	overdue   *time.Timer // ends a watch that the API server has not ended as it was asked to; nil: there is none
	streams   int         // streaming lists that were begun
	streaming bool        // what is listed comes from the last of them
	watched   bool        // the slices are listed, and watched
	failure   error       // of the last request
	listing   listing
}

// listing counts requests that the reflector does not wait for when its context ends.
type listing struct {
	mu sync.Mutex
	wg sync.WaitGroup
}

func (l *listing) begin(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() == nil {
		l.wg.Add(1)
	}
	return ctx.Err()
}

// wait is called when the context has ended.
func (l *listing) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wg.Wait()
}

func newFollower(v *view) *follower {
	f := &follower{view: v}
	f.reflector = cache.NewReflectorWithOptions(
		&cache.ListWatch{ListWithContextFunc: f.list, WatchFuncWithContext: f.watch},
		&discoveryv1.EndpointSlice{}, f,
		cache.ReflectorOptions{
			Logger: &klog.Logger{}, // what it would log is in the errors
			Name:   "multipool",
			// When the server is busy the reflector pauses by itself, even if its context
			// ends meanwhile.
			Backoff: &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Steps: 2, Cap: 200 * time.Millisecond, Jitter: 0.5},
		},
	)
	return f
}

// follow lists the slices and follows their changes until either fails.
func (f *follower) follow(ctx context.Context, healthy func()) error {
	ctx = klog.NewContext(ctx, klog.Logger{})
	for {
		begun := time.Now()
		err := f.run(ctx, healthy)
		if ctx.Err() != nil || !errors.Is(err, errEnded) || time.Since(begun) < longWatch {
			return err
		}
	}
}

func (f *follower) run(ctx context.Context, healthy func()) error {
	ctx, stop := context.WithCancelCause(ctx)
	late := time.AfterFunc(f.timeout, func() { stop(fmt.Errorf("the list is not complete after %v", f.timeout)) })
	f.ctx, f.stop, f.healthy, f.budget, f.late = ctx, stop, healthy, newBudget(), late
	f.streams, f.streaming, f.watched, f.failure, f.overdue = 0, false, false, nil, nil
	err := f.reflector.ListAndWatchWithContext(ctx)
	late.Stop()
	if f.overdue != nil {
		f.overdue.Stop()
	}
	stop(nil)
	f.listing.wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = cause
	} else if f.failure != nil {
		err = f.failure
	} else if err == nil {
		err = errEnded
	}
	return f.explain(err)
}

var errEnded = errors.New("the watch has ended")

// list is the reflector's, where there is no streaming list.
func (f *follower) list(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	if err := f.listing.begin(ctx); err != nil {
		return nil, err
	}
	defer f.listing.wg.Done()
	f.streaming = false
	if f.failure != nil && !isAnswer(f.failure) {
		return nil, f.failure // the server cannot be reached
	}
	f.ofService(&opts)
	list, err := f.client.list(ctx, opts)
	if err != nil {
		return nil, f.failed(err)
	}
	f.failure = nil
	return list, nil
}

// watch is the reflector's. One try has one watch. When it ends, the slices are listed
// again: a server that was restored from a backup has nothing to say to a watch from a
// version that it has not reached.
func (f *follower) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	streaming := opts.SendInitialEvents != nil && *opts.SendInitialEvents
	if f.watched || streaming && f.streams == 2 { // the first may have been from a version that is too old
		return nil, errEnded
	}
	if streaming {
		f.streams++
	}
	f.ofService(&opts)
	w, err := f.client.watch(ctx, opts, f.budget)
	if err != nil {
		return nil, f.failed(err)
	}
	f.failure, f.streaming = nil, streaming
	f.endBy(opts.TimeoutSeconds)
	if !streaming {
		f.healed()
	}
	return w, nil
}

// endBy ends the try if the API server does not end the watch after the seconds that it
// was asked for: over HTTP/1.1 nothing else shows that it hangs.
func (f *follower) endBy(seconds *int64) {
	if f.overdue != nil { // of the streaming list before
		f.overdue.Stop()
	}
	if seconds != nil {
		stop := f.stop
		f.overdue = time.AfterFunc(time.Duration(*seconds)*time.Second+f.timeout, func() { stop(errEnded) })
	}
}

func (f *follower) ofService(opts *metav1.ListOptions) {
	opts.LabelSelector = discoveryv1.LabelServiceName + "=" + f.service
}

// failed keeps the error of a request. The reflector gets to know those that it has an
// answer to. Others would make it wait for the server by itself.
func (f *follower) failed(err error) error {
	f.failure = err
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		return err
	}
	return errors.New(err.Error())
}

// healed is called when the slices are listed and watched.
func (f *follower) healed() {
	f.watched = true
	f.healthy()
}

// Replace implements [cache.ReflectorStore], as do the following.
func (f *follower) Replace(all []any, _ string) error {
	f.late.Stop()
	f.budget.renew()
	slices := make(map[string]*slice, len(all))
	for _, o := range all {
		if s, ok := o.(*discoveryv1.EndpointSlice); ok {
			slices[s.Name] = f.read(s)
		}
	}
	f.replace(slices)
	f.tell()
	if f.streaming {
		f.healed()
	}
	return nil
}

// Add adds a slice.
func (f *follower) Add(o any) error {
	if s, ok := o.(*discoveryv1.EndpointSlice); ok {
		f.put(s.Name, f.read(s))
		f.tell()
	}
	return nil
}

// Update changes a slice.
func (f *follower) Update(o any) error { return f.Add(o) }

// Delete removes a slice.
func (f *follower) Delete(o any) error {
	if s, ok := o.(*discoveryv1.EndpointSlice); ok {
		f.remove(s.Name)
		f.tell()
	}
	return nil
}

// UpdateResourceVersion implements [cache.ResourceVersionUpdater]: it is called behind
// each event of a watch, bookmarks too.
func (f *follower) UpdateResourceVersion(string) { f.budget.renew() }

// Resync does nothing.
func (*follower) Resync() error { return nil }

// tell reports the set, or ends the try if it is in doubt.
func (f *follower) tell() {
	if f.ctx.Err() != nil {
		return
	}
	if err := f.view.tell(f.ctx); err != nil {
		f.stop(err)
	}
}

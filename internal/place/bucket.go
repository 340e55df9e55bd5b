package place

import (
	"context"
	"time"
)

// A Bucket is a place that can do more: where objects are many and large, and have times. S3 is
// one.
type Bucket interface {
	Place
	// Walk gives the objects whose names begin with a prefix, with their sizes and when each
	// was written.
	Walk(ctx context.Context, prefix string, found func(name string, size int64, written time.Time) error) error
	// Copy gives the bytes of an object a second name, without moving them through here.
	Copy(ctx context.Context, from, to string) error
	// Same says whether two objects are known to have the same bytes. False is that they may.
	Same(ctx context.Context, one, other string) (bool, error)
}

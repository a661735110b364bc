package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Tail returns the complete lines among the last n bytes of a log, each with its
// newline; nil when there is none. It is for whoever looks for what was written
// last in a long log, and costs one call. A line of which only a part lies within
// n bytes is left out. A store that cannot read a part reads the whole.
func Tail(ctx context.Context, s Store, key string, n int64) ([]byte, error) {
	if err := CheckRead(key, n); err != nil {
		return nil, err
	}
	t, ok := s.(interface {
		tail(ctx context.Context, key string, n int64) (data []byte, whole bool, err error)
	})
	var data []byte
	var err error
	whole := true
	if ok {
		data, whole, err = t.tail(ctx, key, n)
	} else if data, _, err = s.Read(ctx, key, 0); int64(len(data)) > n {
		data, whole = data[int64(len(data))-n:], false
	}
	if err != nil {
		return nil, err
	}
	if !whole { // the first line may have lost its beginning
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	end, err := complete(data)
	if err != nil {
		return nil, fmt.Errorf("reading the end of journal %s: %w", key, err)
	}
	if end == 0 {
		return nil, nil
	}
	return data[:end:end], nil
}

// tail returns the last n bytes of a file, and whether they are all of it.
func (f *file) tail(ctx context.Context, key string, n int64) (data []byte, whole bool, err error) {
	log, err := f.open(ctx, key, os.O_RDONLY, syscall.LOCK_SH)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the end of journal %s: %w", key, err)
	}
	defer func() { _ = log.Close() }()
	info, err := log.Stat()
	if err != nil {
		return nil, false, fmt.Errorf("reading the end of journal %s: %w", key, err)
	}
	from := max(0, info.Size()-n)
	data = make([]byte, info.Size()-from)
	if _, err := io.ReadFull(io.NewSectionReader(log, from, int64(len(data))), data); err != nil {
		return nil, false, fmt.Errorf("reading the end of journal %s: %w", key, err)
	}
	return data, from == 0, nil
}

// tail returns the last n bytes of an object, and whether they are all of it.
// Source: GetObject, "Range": bytes=-n.
func (b *bucket) tail(ctx context.Context, key string, n int64) (data []byte, whole bool, err error) {
	err = b.again(ctx, func(ctx context.Context) (err error) {
		data, whole, err = b.getTail(ctx, key, n)
		return err
	})
	switch {
	case err == nil:
		return data, whole, nil
	case codeOf(err) == "NoSuchKey":
		return nil, true, nil
	}
	return nil, false, fmt.Errorf("reading the end of journal %s: %w", key, err)
}

func (b *bucket) getTail(ctx context.Context, key string, n int64) (data []byte, whole bool, err error) {
	data, status, of, err := b.getObject(ctx, key, fmt.Sprintf("bytes=-%d", n), n)
	if err != nil || status != 206 {
		return data, true, err
	}
	var start, end, total int64
	if _, err := fmt.Sscanf(of, "bytes %d-%d/%d", &start, &end, &total); err != nil || end != total-1 || end-start+1 != int64(len(data)) {
		return nil, false, b.callError(ctx, "GetObject", errors.New("another range than was asked for"))
	}
	return data, start == 0, nil
}

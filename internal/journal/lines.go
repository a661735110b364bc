package journal

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
)

// Lines yields the complete lines of data without their newlines, each with its
// offset in data. It ends before a torn tail: bytes behind the last newline, or
// behind a line that begins with a NUL byte, which is how an append that was
// never finished looks in a file. Lines that Read returned are never torn. The
// yielded slices share data's memory.
func Lines(data []byte) iter.Seq2[int64, []byte] {
	return func(yield func(int64, []byte) bool) {
		at := 0
		for at < len(data) && data[at] != 0 {
			n := bytes.IndexByte(data[at:], '\n')
			if n < 0 || !yield(int64(at), data[at:at+n:at+n]) {
				return
			}
			at += n + 1
		}
	}
}

// complete returns how many bytes of data are complete lines; what is behind
// them is a torn tail. A complete line that no append can have written (empty,
// longer than MaxLine, with a NUL byte) is ErrDamaged, not torn: there may be
// good lines behind it, which must not be cut off.
func complete(data []byte) (int, error) {
	end := 0
	for at, line := range Lines(data) {
		if fault := faultOf(line); fault != nil {
			return end, fmt.Errorf("%w: at offset %d: %w", ErrDamaged, at, fault)
		}
		end = int(at) + len(line) + 1
	}
	return end, nil
}

// checkLines says what is wrong with the lines of an append.
func checkLines(lines []byte) error {
	switch {
	case len(lines) == 0:
		return errors.New("nothing to append")
	case len(lines) > MaxAppend:
		return fmt.Errorf("%d bytes, at most %d go into one append", len(lines), MaxAppend)
	case lines[len(lines)-1] != '\n':
		return errors.New("the last line has no newline")
	case lines[0] == 0:
		return errNUL
	}
	end := 0
	for at, line := range Lines(lines) {
		if fault := faultOf(line); fault != nil {
			return fmt.Errorf("at offset %d: %w", at, fault)
		}
		end = int(at) + len(line) + 1
	}
	if end != len(lines) {
		return errNUL
	}
	return nil
}

var errNUL = errors.New("a line with a NUL byte")

// faultOf says why a line cannot be a record.
func faultOf(line []byte) error {
	switch {
	case len(line) == 0:
		return errors.New("an empty line")
	case len(line) >= MaxLine:
		return fmt.Errorf("a line of %d bytes, at most %d", len(line)+1, MaxLine)
	case bytes.IndexByte(line, 0) >= 0:
		return errNUL
	}
	return nil
}

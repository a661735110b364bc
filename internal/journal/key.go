package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

const (
	suffix = ".jsonl"
	// maxName bounds a part of a key before its suffix. With a suffix it stays
	// below 255, the longest file name that common file systems take.
	maxName = 180
	// maxKey bounds a key: two parts and a suffix.
	maxKey = 2*maxName + 1 + len(suffix)
	// hashMark stands between the readable beginning of an overlong part and its
	// hash. No other part contains it: a tilde is always followed by hex digits.
	hashMark = "~~"
)

// Key names the log of one thing, such as Key("request", id). Any bytes will
// do: the result is a relative path of two parts that is safe on every file
// system and as an OSS object name, and different inputs have different keys,
// also where upper and lower case are the same.
//
// Lower-case letters, digits, "-", "_" and inner dots stay as they are; an
// upper-case letter becomes "=" and the small one; every other byte becomes "~"
// and two hex digits; an empty part becomes "~". A part that would be longer
// than 180 bytes is cut and ended by the SHA-256 of the whole.
func Key(kind, id string) string {
	return encode(kind) + "/" + encode(id) + suffix
}

// SplitKey returns what Key was made from. It is false for a key that Key did
// not make, and for one that holds a hash, since that cannot be undone.
func SplitKey(key string) (kind, id string, ok bool) {
	k, i, found := strings.Cut(strings.TrimSuffix(key, suffix), "/")
	if !found {
		return "", "", false
	}
	kind, ok1 := decode(k)
	id, ok2 := decode(i)
	if !ok1 || !ok2 || Key(kind, id) != key {
		return "", "", false
	}
	return kind, id, true
}

// OpenKey names the entry that says that the request of that id is open. It begins
// with a hash of the id, so that wherever a sweep begins every request has the same
// chance.
func OpenKey(id string) string {
	sum := sha256.Sum256([]byte(id))
	return OpenPrefix + encode(hex.EncodeToString(sum[:openHash])+"-"+id) + suffix
}

// openHash is how many bytes of the hash an entry's key begins with.
const openHash = 2

// OpenID returns the id that OpenKey was given. It is false for another key, and for
// an overlong id, which only the entry itself tells.
func OpenID(key string) (id string, ok bool) {
	kind, name, ok := SplitKey(key)
	if !ok || kind+"/" != OpenPrefix || len(name) <= 2*openHash {
		return "", false
	}
	id = name[2*openHash+1:]
	return id, OpenKey(id) == key
}

const hexDigits = "0123456789abcdef"

func encode(s string) string {
	if s == "" {
		return "~"
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		end := b.Len()
		switch c := s[i]; {
		case plain(c), c == '.' && i > 0:
			b.WriteByte(c)
		case c >= 'A' && c <= 'Z':
			b.WriteByte('=')
			b.WriteByte(c - 'A' + 'a')
		default:
			b.WriteByte('~')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
		if b.Len() > maxName {
			return hashed(b.String()[:end], s)
		}
	}
	return b.String()
}

// hashed ends the readable part of an overlong name with the hash of the whole.
// It may cut an escape in two: the part is for people, the hash tells names
// apart.
func hashed(readable, whole string) string {
	sum := sha256.Sum256([]byte(whole))
	tail := hashMark + hex.EncodeToString(sum[:])
	return readable[:min(len(readable), maxName-len(tail))] + tail
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// decode undoes encode. Of what encode cannot have made it returns something else than
// what it was made of, or false: see SplitKey.
func decode(s string) (string, bool) {
	if s == "~" {
		return "", true
	}
	parts := strings.Split(s, "=")
	for i, part := range parts[1:] {
		n := min(1, len(part))
		parts[i+1] = strings.ToUpper(part[:n]) + part[n:]
	}
	out, err := url.PathUnescape(strings.ReplaceAll(strings.Join(parts, ""), "~", "%"))
	return out, err == nil
}

// checkKey accepts what Key can have made, hashed parts included, so that no
// store ever sees a path that leads elsewhere.
func checkKey(key string) error {
	kind, id, ok := strings.Cut(strings.TrimSuffix(key, suffix), "/")
	if !ok || len(key) > maxKey || !strings.HasSuffix(key, suffix) || !checkPart(kind) || !checkPart(id) {
		return fmt.Errorf("not a journal key: %.100q", key)
	}
	return nil
}

func checkPart(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '.' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !plain(c) && c != '.' && c != '=' && c != '~' {
			return false
		}
	}
	return true
}

package config

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// testKey is a key of one byte's repetition, and b64 how it is written.
func testKey(b byte) []byte { return bytes.Repeat([]byte{b}, KeySize) }

func b64(b byte) string { return base64.StdEncoding.EncodeToString(testKey(b)) }

func keyFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGenerateKey(t *testing.T) {
	line, err := GenerateKey(bytes.NewReader(testKey(5)))
	if err != nil || line != b64(5) {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := GenerateKey(strings.NewReader("short")); err == nil {
		t.Error("a key of five bytes")
	}
}

func TestLoadKeys(t *testing.T) {
	for _, row := range []struct {
		name, content string
		want          Keys
	}{
		{"one key is also what seeds come from", b64(1) + "\n", Keys{Seal: testKey(1), Hash: testKey(1)}},
		{"without a newline", b64(1), Keys{Seal: testKey(1), Hash: testKey(1)}},
		{"from elsewhere", "# web\r\n\r\n " + b64(1) + " \r\n", Keys{Seal: testKey(1), Hash: testKey(1)}},
		{"before the change", b64(1) + "\nnew " + b64(2) + "\nhash " + b64(1) + "\n", Keys{Seal: testKey(1), New: testKey(2), Hash: testKey(1)}},
		{"after the change, in another order", "hash " + b64(1) + "\nold " + b64(1) + "\n" + b64(2) + "\n", Keys{Seal: testKey(2), Old: testKey(1), Hash: testKey(1)}},
		{"rotated", b64(2) + "\nhash " + b64(1) + "\n", Keys{Seal: testKey(2), Hash: testKey(1)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := LoadKeys(keyFile(t, row.content, 0o600))
			if err != nil || !reflect.DeepEqual(got, row.want) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestKeyRefusals(t *testing.T) {
	zeroes := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, row := range []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"readable by all", b64(1), 0o644, "can be used by others (mode 0644); run: chmod 600 "},
		{"readable by the group", b64(1), 0o640, "can be used by others (mode 0640)"},
		{"empty", "\n# nothing\n", 0o600, "is empty; make one with rota key generate"},
		{"short", zeroes(16), 0o600, "line 1 holds 16 bytes, not 32; make one with rota key generate"},
		{"a word without a key", "new\n", 0o600, "line 1 is not base64"},
		{"two keys that seal", b64(1) + "\n" + b64(2), 0o600, "line 2 is a second key; one key seals, write new or old before the other"},
		{"two new ones", b64(1) + "\nnew " + b64(2) + "\nnew " + b64(3), 0o600, "line 3 is a second new"},
		{"broken over two lines", zeroes(32)[:20] + "\n" + zeroes(32)[20:], 0o600, "line 1 holds 15 bytes"},
		{"not base64", "geheim!", 0o600, "line 1 is not base64 as rota key generate prints it"},
		{"a word that means nothing", "next " + b64(1), 0o600, "line 1 is neither a key nor one after new, old or hash"},
		{"two keys in a line", "new " + b64(1) + " " + b64(2), 0o600, "line 1 has more words than one key"},
		{"nothing that seals", "new " + b64(1) + "\nhash " + b64(1), 0o600, "has no line with a key alone"},
		{"two rotations at once", b64(1) + "\nnew " + b64(2) + "\nold " + b64(3) + "\nhash " + b64(1), 0o600, "has a new and an old key"},
		{"one key in two parts", b64(1) + "\nnew " + b64(1) + "\nhash " + b64(1), 0o600, "has the same key twice"},
		{"a seed that nobody knows", b64(1) + "\nnew " + b64(2), 0o600, "has two keys and no line hash"},
		{"huge", strings.Repeat("A", 8192), 0o600, "is too long to hold keys"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := keyFile(t, row.content, row.mode)
			refused(t, path, row.want)
			for word := range strings.FieldsSeq(row.content) {
				if len(word) > 6 && strings.Contains(fmt.Sprint(LoadKeys(path)), word) {
					t.Error("the message holds the secret")
				}
			}
		})
	}
	t.Run("absent", func(t *testing.T) {
		refused(t, filepath.Join(t.TempDir(), "none"), "does not exist; copy it from another node, or for a new cluster: (umask 077; rota key generate > ")
	})
	t.Run("a folder", func(t *testing.T) { refused(t, t.TempDir(), "is not a regular file") })
	t.Run("a pipe that nobody writes", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, path, "is not a regular file")
	})
}

func refused(t *testing.T, path, want string) {
	t.Helper()
	_, err := LoadKeys(path)
	if err == nil || !strings.HasPrefix(err.Error(), "key file "+path+" ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestRotateKey twice: at every step the key that seals was accepted before,
// the one that sealed before is accepted, and what seeds come from stays.
func TestRotateKey(t *testing.T) {
	path := keyFile(t, "# ours\n"+b64(1)+"\n", 0o600)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	was := Keys{Seal: testKey(1), Hash: testKey(1)}
	for i := range 2 * KeySteps {
		random := bytes.NewReader(testKey(byte(2 + i)))
		before, after, err := RotateKey(link, random)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(before, was) || after.Step() != i%KeySteps+1 || !bytes.Equal(after.Hash, testKey(1)) {
			t.Errorf("step %d: from %v to %v", i+1, before, after)
		}
		if !contains(before.Accepted(), after.Seal) || !contains(after.Accepted(), before.Seal) {
			t.Errorf("step %d: nodes before and after it cannot hear each other", i+1)
		}
		if i%KeySteps == 0 && !bytes.Equal(after.New, testKey(byte(2+i))) {
			t.Errorf("step %d: the new key is %v", i+1, after.New)
		}
		if was, err = LoadKeys(path); err != nil || !reflect.DeepEqual(was, after) {
			t.Errorf("step %d: the file holds %v, %v; want %v", i+1, was, err, after)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("step %d: %v, %v", i+1, info.Mode(), err)
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is none any more")
	}
	if bytes.Equal(was.Seal, testKey(1)) {
		t.Error("the key is the first one still")
	}
}

func TestRotateKeyRefusals(t *testing.T) {
	path := keyFile(t, b64(1)+"\n", 0o600)
	if _, _, err := RotateKey(path, strings.NewReader("")); err == nil {
		t.Error("a key from nothing")
	}
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := RotateKey(path, bytes.NewReader(testKey(2))); err == nil || !strings.Contains(err.Error(), "another rotation is under way, or was cut short") {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != b64(1)+"\n" {
		t.Errorf("the file has changed: %v", err)
	}
}

func contains(keys [][]byte, key []byte) bool {
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

package webhooks

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// keyIsFresh is how long a key that was read from a file is used before the file is read again.
const keyIsFresh = 5 * time.Second

// credential is the API key, or the file that has it, which may be replaced at any time.
type credential struct {
	file string

	mutex  sync.Mutex
	key    string
	readAt time.Time
}

func newCredential(o Options) (*credential, error) {
	key, file := o.APIKey, o.APIKeyFile
	if key == "" && file == "" {
		key, file = os.Getenv(apiKeyVariable), os.Getenv(apiKeyFileVariable)
	}
	if key == "" && file == "" {
		return nil, fmt.Errorf("no API key: give APIKey or APIKeyFile, or set %s or %s", apiKeyVariable, apiKeyFileVariable)
	}
	var err error
	if key != "" {
		file = ""
		key, err = checkedKey(key)
	} else {
		key, err = readKey(file)
	}
	if err != nil {
		return nil, err
	}
	return &credential{file: file, key: key, readAt: time.Now()}, nil
}

// current is the key, read within the last seconds.
func (c *credential) current() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if time.Since(c.readAt) >= keyIsFresh {
		c.read()
	}
	return c.key
}

// readAgain is the key that is in the file now.
func (c *credential) readAgain() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.read()
	return c.key
}

// read keeps the last key if the file cannot be read, as in the middle of its replacement.
func (c *credential) read() {
	if c.file == "" {
		return
	}
	c.readAt = time.Now()
	if key, err := readKey(c.file); err == nil {
		c.key = key
	}
}

func readKey(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot read APIKeyFile: %w", err)
	}
	key, err := checkedKey(string(text))
	if err != nil {
		return "", fmt.Errorf("APIKeyFile %s: %w", file, err)
	}
	return key, nil
}

func checkedKey(text string) (string, error) {
	key := strings.TrimSpace(text)
	if key == "" {
		return "", errors.New("the API key is empty")
	}
	if strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return "", errors.New("the API key has characters that no key has")
	}
	return key, nil
}

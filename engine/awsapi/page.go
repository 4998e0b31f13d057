package awsapi

import (
	"encoding/base64"
	"errors"
	"hash/fnv"
	"iter"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// ErrBadToken is what Page returns for a token that it did not give.
var ErrBadToken = errors.New("invalid token")

// Paging is what a client asks of a listing.
type Paging struct {
	// List names the listing and its filters; a token of one listing is not
	// good for another.
	List string
	// Max is the most items on a page.
	Max int
	// Token is that of the page before; empty: the first page.
	Token string
	// Descending tells that the items are in descending order of their keys.
	Descending bool
}

// Page gives the next page of a list whose items are in the order of their
// keys, and the token of the page after it (empty: none). A token says after
// which key to go on, so that it holds while items come and go: what is there
// all the while is given once.
func Page[T any](items []T, key func(T) string, p Paging) ([]T, string, error) {
	start := 0
	if p.Token != "" {
		after, err := readToken(p.List, p.Token)
		if err != nil {
			return nil, "", err
		}
		start = sort.Search(len(items), func(i int) bool {
			if p.Descending {
				return key(items[i]) < after
			}
			return key(items[i]) > after
		})
	}
	end := min(start+p.Max, len(items))
	if end == len(items) {
		return slices.Clip(items[start:]), "", nil
	}
	return slices.Clip(items[start:end]), writeToken(p.List, key(items[end-1])), nil
}

// PageFrom is Page for a list that is too long to be made for one page of it: from
// gives the items after a key ("" from the first on), in the order of their keys, or
// ErrBadToken for what is no key of the list.
func PageFrom[T any](from func(after string) (iter.Seq[T], error), key func(T) string, p Paging) ([]T, string, error) {
	after := ""
	if p.Token != "" {
		var err error
		if after, err = readToken(p.List, p.Token); err != nil {
			return nil, "", err
		}
	}
	rest, err := from(after)
	if err != nil {
		return nil, "", err
	}
	var items []T
	for item := range rest {
		if items == nil {
			items = make([]T, 0, p.Max)
		}
		if len(items) == p.Max {
			return items, writeToken(p.List, key(items[p.Max-1])), nil
		}
		items = append(items, item)
	}
	return items, "", nil
}

func writeToken(list, after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(listSum(list) + ":" + after))
}

func readToken(list, token string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", ErrBadToken
	}
	sum, after, ok := strings.Cut(string(raw), ":")
	if !ok || sum != listSum(list) {
		return "", ErrBadToken
	}
	return after, nil
}

func listSum(list string) string {
	h := fnv.New64a()
	h.Write([]byte(list))
	return strconv.FormatUint(h.Sum64(), 36)
}

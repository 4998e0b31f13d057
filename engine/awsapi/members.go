package awsapi

import (
	"reflect"
	"strconv"
	"strings"
)

// Beyond gives the paths of the members of v that say something and are not
// among those known: "containerDefinitions[0].linuxParameters". A path that is
// known, without indices ("containerDefinitions.environment"), is known with all
// that is below it. A member says nothing if it is absent, empty or the zero of
// its kind, or if nothing in it says anything.
func (c *Codec) Beyond(v any, known map[string]bool) []string {
	return c.beyond(reflect.ValueOf(v), "", "", known)
}

// beyond walks; path has the indices, plain has not.
func (c *Codec) beyond(v reflect.Value, path, plain string, known map[string]bool) []string {
	if plain != "" && known[plain] || !c.says(v) {
		return nil
	}
	var paths []string
	switch {
	case v.Kind() == reflect.Pointer:
		return c.beyond(v.Elem(), path, plain, known)
	case v.Kind() == reflect.Struct && hasBelow(known, plain):
		for _, f := range c.planOf(v.Type()).fields {
			paths = append(paths, c.beyond(v.Field(f.index), join(path, f.wire), join(plain, f.wire), known)...)
		}
		return paths
	case v.Kind() == reflect.Slice && hasBelow(known, plain):
		for i := range v.Len() {
			paths = append(paths, c.beyond(v.Index(i), path+"["+strconv.Itoa(i)+"]", plain, known)...)
		}
		return paths
	}
	return []string{path}
}

// hasBelow tells whether something below the path is known.
func hasBelow(known map[string]bool, plain string) bool {
	if plain == "" {
		return true
	}
	for path := range known {
		if strings.HasPrefix(path, plain+".") {
			return true
		}
	}
	return false
}

// says tells whether there is anything in a member.
func (c *Codec) says(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && c.says(v.Elem())
	case reflect.Interface:
		return !v.IsNil()
	case reflect.Slice, reflect.Map:
		return v.Len() > 0
	case reflect.Struct:
		if v.Type() == timeType {
			return !v.IsZero()
		}
		for _, f := range c.planOf(v.Type()).fields {
			if c.says(v.Field(f.index)) {
				return true
			}
		}
		return false
	}
	return !v.IsZero()
}

package awsapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// smithyProtocol is the header that says that a request, or an answer, is of
// Smithy RPC v2, and cborName the protocol's name in it.
const (
	smithyProtocol = "Smithy-Protocol"
	cborName       = "rpc-v2-cbor"
)

// cborProtocol is Smithy RPC v2 with CBOR: the path names the service and the
// operation.
type cborProtocol struct{}

// rpcPath takes the path /service/SERVICE/operation/OPERATION apart.
func rpcPath(path string) (service, operation string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) != 4 || parts[0] != "service" || parts[2] != "operation" {
		return "", ""
	}
	return parts[1], parts[3]
}

// The modes of CBOR are made once. Maps have texts as keys, none twice; the depth
// and the numbers of items are the library's own bounds.
var cborDecoding, cborEncoding = cborModes()

func cborModes() (cbor.DecMode, cbor.EncMode) {
	decoding, err := cbor.DecOptions{
		DefaultMapType: reflect.TypeFor[map[string]any](), DupMapKey: cbor.DupMapKeyEnforcedAPF,
		IntDec: cbor.IntDecConvertSignedOrFail,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	encoding, err := cbor.EncOptions{Sort: cbor.SortBytewiseLexical}.EncMode()
	if err != nil {
		panic(err)
	}
	return decoding, encoding
}

func (cborProtocol) decode(req *request, call *Call, into any) error {
	tree, err := parseCBOR(req.body)
	if err == nil {
		call.tree = tree
		err = req.service.Codec.assign(reflect.ValueOf(into).Elem(), tree, "")
	}
	if err != nil {
		return &Error{Code: "SerializationException", Message: err.Error()}
	}
	return nil
}

// parseCBOR gives a body as the tree that JSON would have brought.
func parseCBOR(body []byte) (any, error) {
	if len(body) == 0 {
		return map[string]any{}, nil
	}
	var value any
	if err := cborDecoding.Unmarshal(body, &value); err != nil {
		return nil, &DecodeError{Reason: "the body is not CBOR: " + err.Error()}
	}
	tree, err := fromCBOR(value)
	if err != nil {
		return nil, err
	}
	if _, ok := tree.(map[string]any); !ok {
		return nil, &DecodeError{Reason: kindOf(tree) + " can not be converted to a structure"}
	}
	return tree, nil
}

// fromCBOR changes in place what JSON has in another form: numbers, times, blobs.
func fromCBOR(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case map[string]any:
		for key, member := range v {
			if v[key], err = fromCBOR(member); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, item := range v {
			if v[i], err = fromCBOR(item); err != nil {
				return nil, err
			}
		}
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case float64: // NaN and the infinities are numbers here
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64)), nil
	case time.Time:
		return json.Number(strconv.FormatFloat(float64(v.Round(time.Millisecond).UnixMilli())/1000, 'f', -1, 64)), nil
	case []byte:
		return base64.StdEncoding.EncodeToString(v), nil
	case nil, bool, string:
	default:
		return nil, &DecodeError{Reason: fmt.Sprintf("a value of CBOR of the kind %T has no place in a request", v)}
	}
	return value, nil
}

func (p cborProtocol) write(w http.ResponseWriter, req *request, id string, out any) {
	tree, err := req.service.Codec.toCBOR(reflect.ValueOf(out))
	var body []byte
	if err == nil {
		body, err = cborEncoding.Marshal(tree)
	}
	if err != nil {
		p.writeError(w, req, id, internalFailure(err))
		return
	}
	p.send(w, http.StatusOK, body)
}

func (p cborProtocol) writeError(w http.ResponseWriter, req *request, _ string, e *Error) {
	body, _ := cborEncoding.Marshal(map[string]any{ // two texts can be written
		"__type": req.errorType(w, e), "message": e.Message,
	})
	p.send(w, e.status(), body)
}

func (cborProtocol) send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set(smithyProtocol, cborName)
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone away is told nothing
}

// toCBOR gives one of the SDK's types as maps, lists and plain values.
func (c *Codec) toCBOR(v reflect.Value) (any, error) {
	switch v.Type() {
	case timeType:
		return cbor.Tag{Number: 1, Content: float64(v.Interface().(time.Time).UnixMilli()) / 1000}, nil
	case bytesType:
		return v.Bytes(), nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return c.toCBOR(v.Elem())
	case reflect.Struct:
		return c.structToCBOR(v)
	case reflect.Slice:
		items := make([]any, v.Len())
		for i := range items {
			var err error
			if items[i], err = c.toCBOR(v.Index(i)); err != nil {
				return nil, err
			}
		}
		return items, nil
	case reflect.Map:
		members := make(map[string]any, v.Len())
		for _, key := range v.MapKeys() {
			var err error
			if members[key.String()], err = c.toCBOR(v.MapIndex(key)); err != nil {
				return nil, err
			}
		}
		return members, nil
	case reflect.String:
		return strings.ToValidUTF8(v.String(), "\ufffd"), nil
	case reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64, reflect.Float32, reflect.Float64:
		return v.Interface(), nil
	}
	return nil, fmt.Errorf("a value of type %s has no form in CBOR here", v.Type())
}

func (c *Codec) structToCBOR(v reflect.Value) (any, error) {
	members := map[string]any{}
	for _, f := range c.planOf(v.Type()).fields {
		member := v.Field(f.index)
		if absent(member) {
			continue
		}
		var err error
		if members[f.wire], err = c.toCBOR(member); err != nil {
			return nil, fmt.Errorf("%s: %w", f.wire, err)
		}
	}
	return members, nil
}

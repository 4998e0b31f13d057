package ec2api

import (
	"context"
	"strings"
	"time"

	"plimsoll/engine/awsapi"
)

// ssmParameter is one of Systems Manager's: here, only the names that AWS
// publishes for ECS's images.
type ssmParameter struct {
	ARN, DataType, Name, Type, Value *string
	Version                          int64
	LastModifiedDate                 *time.Time
}

type getParameterInput struct {
	Name           *string
	WithDecryption *bool
}

type getParameterOutput struct{ Parameter *ssmParameter }

type getParametersInput struct {
	Names          []string
	WithDecryption *bool
}

type getParametersOutput struct {
	Parameters        []ssmParameter
	InvalidParameters []string
}

func (a *api) ssm() *awsapi.Service {
	return &awsapi.Service{
		Name: "ssm", Target: "AmazonSSM", JSONVersion: "1.1", Codec: awsapi.NewCodec(nil),
		Operations: []awsapi.Operation{awsapi.Op("GetParameter", a.getParameter), awsapi.Op("GetParameters", a.getParameters)},
	}
}

const imagePrefix = "/aws/service/ecs/optimized-ami/"

// parameter gives what a name stands for: the whole recommendation for an
// image, or one part of it; false: nobody has published it.
func (a *api) parameter(name string) (*ssmParameter, bool, error) {
	rest, ok := strings.CutPrefix(name, imagePrefix)
	family, part, found := strings.Cut(rest, "/recommended")
	if !ok || !found {
		return nil, false, nil
	}
	for _, i := range images {
		if i.family != family {
			continue
		}
		text, err := i.recommended()
		if err != nil {
			return nil, false, err
		}
		switch part {
		case "":
		case "/image_id":
			text = i.id
		case "/image_name":
			text = i.name
		case "/os":
			text = i.family
		default:
			return nil, false, nil
		}
		at, err := time.Parse(time.RFC3339, imageDate)
		if err != nil {
			return nil, false, err
		}
		return &ssmParameter{
			ARN: of("arn:aws:ssm:" + a.o.Region + "::parameter" + name), DataType: of("text"), Name: of(name), Type: of("String"),
			Value: of(text), Version: 1, LastModifiedDate: &at,
		}, true, nil
	}
	return nil, false, nil
}

func (a *api) getParameter(_ context.Context, _ *awsapi.Call, in *getParameterInput) (*getParameterOutput, error) {
	p, found, err := a.parameter(value(in.Name))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, awsapi.Refuse("ParameterNotFound", "The parameter %q is not there: this engine has those below %s alone.", value(in.Name), imagePrefix)
	}
	return &getParameterOutput{Parameter: p}, nil
}

func (a *api) getParameters(_ context.Context, _ *awsapi.Call, in *getParametersInput) (*getParametersOutput, error) {
	if len(in.Names) < 1 || len(in.Names) > 10 {
		return nil, awsapi.Refuse("ValidationException", "names has %d items: 1 to 10 are allowed.", len(in.Names))
	}
	out := &getParametersOutput{Parameters: []ssmParameter{}, InvalidParameters: []string{}}
	for _, name := range in.Names {
		p, found, err := a.parameter(name)
		switch {
		case err != nil:
			return nil, err
		case found:
			out.Parameters = append(out.Parameters, *p)
		default:
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	return out, nil
}

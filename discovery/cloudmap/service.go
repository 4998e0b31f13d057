package cloudmap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery"
	"github.com/aws/aws-sdk-go-v2/service/servicediscovery/types"
)

// serviceFor is how long what was read of a service holds.
const serviceFor = 10 * time.Minute

// service is one of Cloud Map's.
type service struct {
	id, arn string
	ttl     time.Duration // of its DNS records; 0 without any
	read    time.Time
}

// find reads a service by its id, its ARN, or its name.
func (r *registry) find(ctx context.Context, api *servicediscovery.Client, in string) (service, error) {
	r.mu.Lock()
	known := r.services[in]
	r.mu.Unlock()
	if known.id != "" && time.Since(known.read) < serviceFor {
		return known, nil
	}
	id := in
	if !strings.HasPrefix(in, "srv-") && !strings.HasPrefix(in, "arn:") {
		var err error
		if id, err = byName(ctx, api, in); err != nil {
			return service{}, err
		}
	}
	out, err := api.GetService(ctx, &servicediscovery.GetServiceInput{Id: &id})
	if err != nil {
		return service{}, fmt.Errorf("read it (servicediscovery:GetService): %w", err)
	}
	found := service{id: id, arn: aws.ToString(out.Service.Arn), read: time.Now()}
	if dns := out.Service.DnsConfig; dns != nil {
		for _, record := range dns.DnsRecords {
			if record.Type == types.RecordTypeCname {
				return service{}, errors.New("its records are of type CNAME, which no task's address fits; give it records of type A, AAAA or SRV")
			}
			found.ttl = max(found.ttl, time.Duration(aws.ToInt64(record.TTL))*time.Second)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.services[in] = found
	return found, nil
}

// forgotten has a service that is gone looked for anew.
func (r *registry) forgotten(in string, err error) error {
	var gone *types.ServiceNotFound
	if errors.As(err, &gone) {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.services, in)
	}
	return err
}

// byName finds the id of the service that is called SERVICE.NAMESPACE. Both names
// may have dots.
func byName(ctx context.Context, api *servicediscovery.Client, name string) (string, error) {
	namespaces := servicediscovery.NewListNamespacesPaginator(api, &servicediscovery.ListNamespacesInput{})
	for namespaces.HasMorePages() {
		page, err := namespaces.NextPage(ctx)
		if err != nil {
			return "", fmt.Errorf("list the namespaces: %w", err)
		}
		for _, n := range page.Namespaces {
			own, below := strings.CutSuffix(name, "."+aws.ToString(n.Name))
			if !below {
				continue
			}
			if id, err := inNamespace(ctx, api, aws.ToString(n.Id), own); id != "" || err != nil {
				return id, err
			}
		}
	}
	return "", fmt.Errorf("there is no such service in any namespace of this account and region; allowed: the name of a service and its namespace's, such as web.shop.local, an id (srv-…), or an ARN")
}

// inNamespace finds a service by its name; "" if there is none.
func inNamespace(ctx context.Context, api *servicediscovery.Client, namespace, name string) (string, error) {
	services := servicediscovery.NewListServicesPaginator(api, &servicediscovery.ListServicesInput{Filters: []types.ServiceFilter{{
		Name: types.ServiceFilterNameNamespaceId, Values: []string{namespace}, Condition: types.FilterConditionEq,
	}}})
	for services.HasMorePages() {
		page, err := services.NextPage(ctx)
		if err != nil {
			return "", fmt.Errorf("list the services of namespace %q: %w", namespace, err)
		}
		for _, s := range page.Services {
			if aws.ToString(s.Name) == name {
				return aws.ToString(s.Id), nil
			}
		}
	}
	return "", nil
}

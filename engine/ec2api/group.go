package ec2api

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"plimsoll/engine/awsapi"
)

type ipRange struct{ CidrIp, Description *string }

type ipv6Range struct{ CidrIpv6, Description *string }

type groupPair struct{ UserId, GroupName, GroupId, Description *string }

// permission is what a security group lets in.
type permission struct {
	IpProtocol       *string     `json:"protocol"`
	FromPort         *int32      `json:"from,omitempty"`
	ToPort           *int32      `json:"to,omitempty"`
	UserIdGroupPairs []groupPair `json:"groups,omitempty" query:"Groups" xml:"groups"`
	IpRanges         []ipRange   `json:"ranges,omitempty"`
	Ipv6Ranges       []ipv6Range `json:"ranges6,omitempty"`
}

type groupInfo struct {
	GroupId, GroupName, OwnerId, VpcId, SecurityGroupArn *string
	Description                                          *string      `xml:"groupDescription"`
	IpPermissions                                        []permission `xml:"ipPermissions"`
	IpPermissionsEgress                                  []permission `xml:"ipPermissionsEgress"`
	Tags                                                 []tag        `xml:"tagSet"`
}

type createGroupInput struct {
	Description       *string `query:"GroupDescription"`
	GroupName, VpcId  *string
	TagSpecifications []tagSpecification `query:"TagSpecification"`
	DryRun            bool
}

type createGroupOutput struct {
	GroupId, SecurityGroupArn *string
	Tags                      []tag `xml:"tagSet"`
}

func groupARN(call *awsapi.Call, id string) *string {
	return of("arn:aws:ec2:" + call.Region + ":" + call.Account + ":security-group/" + id)
}

func (a *api) createGroup(_ context.Context, call *awsapi.Call, in *createGroupInput) (*createGroupOutput, error) {
	if err := a.ensureNetwork(); err != nil {
		return nil, err
	}
	if value(in.GroupName) == "" || value(in.Description) == "" {
		return nil, awsapi.Refuse("MissingParameter", "The request must contain the parameters GroupName and GroupDescription")
	}
	tags, err := tagsOf(in.TagSpecifications, "security-group")
	if err != nil {
		return nil, err
	}
	r, err := a.newGroup(*in.GroupName, *in.Description, value(in.VpcId), tags)
	if err != nil {
		return nil, err
	}
	return &createGroupOutput{GroupId: &r.ID, SecurityGroupArn: groupARN(call, r.ID), Tags: tagList(r.Tags)}, nil
}

func (a *api) newGroup(name, description, vpcID string, tags map[string]string) (resource, error) {
	if vpcID == "" {
		vpcID = a.defaultID(kindVPC, "")
	}
	vpc, err := a.find(kindVPC, vpcID, "InvalidVpcID.NotFound")
	if err != nil {
		return resource{}, err
	}
	if strings.HasPrefix(name, "sg-") || len(name) > 255 {
		return resource{}, awsapi.Refuse("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid: 1 to 255 characters that do not begin with sg-.", name)
	}
	for _, other := range a.ofKind(kindGroup) {
		if other.VPC == vpc.ID && other.Name == name {
			return resource{}, awsapi.Refuse("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, vpc.ID)
		}
	}
	return a.add(kindGroup, resource{Name: name, Description: description, VPC: vpc.ID, Tags: tags})
}

type describeGroupsInput struct {
	GroupIds   []string `query:"GroupId"`
	GroupNames []string `query:"GroupName"`
	Filters    []filter `query:"Filter"`
	MaxResults *int32
	NextToken  *string
	DryRun     bool
}

type describeGroupsOutput struct {
	SecurityGroups []groupInfo `xml:"securityGroupInfo"`
	NextToken      *string
}

func (a *api) describeGroups(_ context.Context, call *awsapi.Call, in *describeGroupsInput) (*describeGroupsOutput, error) {
	if err := a.ensureNetwork(); err != nil {
		return nil, err
	}
	groupFacts := func(r resource) facts {
		return facts{
			"group-id": {r.ID}, "group-name": {r.Name}, "vpc-id": {r.VPC}, "description": {r.Description}, "owner-id": {call.Account},
		}.addTags(r.Tags)
	}
	filters := in.Filters
	if len(in.GroupNames) > 0 {
		filters = append(filters, filter{Name: of("group-name"), Values: in.GroupNames})
	}
	page, next, err := choose(a.ofKind(kindGroup), resource.id, groupFacts, listing{
		name: "DescribeSecurityGroups", ids: in.GroupIds, missing: "InvalidGroup.NotFound", filters: filters, max: in.MaxResults, token: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &describeGroupsOutput{SecurityGroups: []groupInfo{}, NextToken: next}
	everything := []permission{{IpProtocol: of("-1"), UserIdGroupPairs: []groupPair{}, IpRanges: []ipRange{{CidrIp: of("0.0.0.0/0")}}, Ipv6Ranges: []ipv6Range{}}}
	for _, r := range page {
		out.SecurityGroups = append(out.SecurityGroups, groupInfo{
			GroupId: &r.ID, GroupName: &r.Name, OwnerId: &call.Account, VpcId: &r.VPC, SecurityGroupArn: groupARN(call, r.ID),
			Description: &r.Description, IpPermissions: r.Ingress, IpPermissionsEgress: everything, Tags: tagList(r.Tags),
		})
	}
	return out, nil
}

type deleteGroupInput struct {
	GroupId, GroupName *string
	DryRun             bool
}

// group finds a security group by its id, or by its name in the default VPC.
func (a *api) group(id, name *string) (resource, error) {
	if err := a.ensureNetwork(); err != nil {
		return resource{}, err
	}
	if value(id) != "" {
		return a.find(kindGroup, *id, "InvalidGroup.NotFound")
	}
	for _, r := range a.ofKind(kindGroup) {
		if r.Name == value(name) && r.VPC == a.defaultID(kindVPC, "") {
			return r, nil
		}
	}
	return resource{}, awsapi.Refuse("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC", value(name))
}

func (a *api) deleteGroup(_ context.Context, _ *awsapi.Call, in *deleteGroupInput) (*done, error) {
	r, err := a.group(in.GroupId, in.GroupName)
	if err != nil {
		return nil, err
	}
	if r.Default {
		return nil, awsapi.Refuse("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", r.ID)
	}
	return yes, a.resources.Delete(r.ID)
}

type ingressInput struct {
	GroupId, GroupName, IpProtocol, CidrIp *string
	FromPort, ToPort                       *int32
	IpPermissions                          []permission
	TagSpecifications                      []tagSpecification `query:"TagSpecification"`
	DryRun                                 bool
}

// permissions are those that an input names, in either of its two forms.
func (in *ingressInput) permissions() ([]permission, error) {
	list := in.IpPermissions
	if in.IpProtocol != nil {
		list = append(list, permission{
			IpProtocol: in.IpProtocol, FromPort: in.FromPort, ToPort: in.ToPort, IpRanges: []ipRange{{CidrIp: in.CidrIp}},
		})
	}
	if len(list) == 0 {
		return nil, awsapi.Refuse("MissingParameter", "The request must contain the parameter ipPermissions")
	}
	for i := range list {
		p := &list[i]
		if value(p.IpProtocol) == "" {
			return nil, awsapi.Refuse("MissingParameter", "The request must contain the parameter ipProtocol")
		}
		from, to := value(p.FromPort), value(p.ToPort)
		if protocol := *p.IpProtocol; (protocol == "tcp" || protocol == "udp") && (from < 0 || to > 65535 || from > to || p.FromPort == nil) {
			return nil, awsapi.Refuse("InvalidParameterValue", "Invalid value for portRange: %d to %d.", from, to)
		}
		for _, r := range p.IpRanges {
			if _, err := block(value(r.CidrIp), 0, 32); err != nil {
				return nil, err
			}
		}
		if len(p.IpRanges)+len(p.Ipv6Ranges)+len(p.UserIdGroupPairs) == 0 {
			return nil, awsapi.Refuse("InvalidParameterValue", "A permission needs a range of addresses or a group that it is for.")
		}
		// Lists that are absent are empty in an answer.
		p.IpRanges, p.Ipv6Ranges, p.UserIdGroupPairs = append([]ipRange{}, p.IpRanges...), append([]ipv6Range{}, p.Ipv6Ranges...), append([]groupPair{}, p.UserIdGroupPairs...)
	}
	return list, nil
}

type groupRule struct {
	SecurityGroupRuleId, GroupId, GroupOwnerId, IpProtocol, CidrIpv4 *string
	FromPort, ToPort                                                 *int32
	IsEgress                                                         *bool
}

type authorizeOutput struct {
	Return             *bool
	SecurityGroupRules []groupRule `xml:"securityGroupRuleSet"`
}

func (a *api) authorizeIngress(_ context.Context, call *awsapi.Call, in *ingressInput) (*authorizeOutput, error) {
	g, list, err := a.ingress(in)
	if err != nil {
		return nil, err
	}
	out := &authorizeOutput{Return: of(true), SecurityGroupRules: []groupRule{}}
	return out, a.resources.Update(g.ID, func(r resource, _ bool) (resource, error) {
		r.Ingress = slices.Clone(r.Ingress)
		for _, p := range list {
			if slices.ContainsFunc(r.Ingress, func(q permission) bool { return reflect.DeepEqual(p, q) }) {
				return r, awsapi.Refuse("InvalidPermission.Duplicate", "the specified rule \"peer: %s\" already exists", peers(p))
			}
			r.Ingress = append(r.Ingress, p)
			for i, one := range p.IpRanges {
				out.SecurityGroupRules = append(out.SecurityGroupRules, groupRule{
					SecurityGroupRuleId: of(fmt.Sprintf("sgr-%s%d%d", strings.TrimPrefix(r.ID, "sg-")[:13], len(r.Ingress), i)), GroupId: &r.ID,
					GroupOwnerId: &call.Account, IpProtocol: p.IpProtocol, CidrIpv4: one.CidrIp, FromPort: p.FromPort, ToPort: p.ToPort, IsEgress: of(false),
				})
			}
		}
		return r, nil
	})
}

func (a *api) revokeIngress(_ context.Context, _ *awsapi.Call, in *ingressInput) (*done, error) {
	g, list, err := a.ingress(in)
	if err != nil {
		return nil, err
	}
	return yes, a.resources.Update(g.ID, func(r resource, _ bool) (resource, error) {
		for _, p := range list {
			at := slices.IndexFunc(r.Ingress, func(q permission) bool { return reflect.DeepEqual(p, q) })
			if at < 0 {
				return r, awsapi.Refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group: peer %s.", peers(p))
			}
			r.Ingress = slices.Delete(slices.Clone(r.Ingress), at, at+1)
		}
		return r, nil
	})
}

func (a *api) ingress(in *ingressInput) (resource, []permission, error) {
	g, err := a.group(in.GroupId, in.GroupName)
	if err != nil {
		return g, nil, err
	}
	list, err := in.permissions()
	return g, list, err
}

func peers(p permission) string {
	var names []string
	for _, r := range p.IpRanges {
		names = append(names, value(r.CidrIp))
	}
	for _, g := range p.UserIdGroupPairs {
		names = append(names, value(g.GroupId)+value(g.GroupName))
	}
	return strings.Join(names, ", ")
}

package ecsapi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plimsoll/engine"
	"plimsoll/engine/awsapi"
)

// accountSetting is what an account setting is where nobody has set it, and the
// values that this engine honours.
type accountSetting struct {
	name    types.SettingName
	usual   string
	allowed []string
	why     string
}

// accountSettings are all, by name. A value that would change nothing here is
// not taken as if it did.
var accountSettings = []accountSetting{
	{types.SettingNameAwsvpcTrunking, "disabled", []string{"disabled"}, "tasks have no network interfaces of their own"},
	{types.SettingNameContainerInsights, "disabled", []string{"disabled"}, "the figures are on /metrics"},
	{types.SettingNameContainerInstanceLongArnFormat, "enabled", []string{"enabled"}, "ARNs are always long"},
	{types.SettingNameDefaultLogDriverMode, "non-blocking", []string{"non-blocking"}, "a task never waits for its log"},
	{types.SettingNameFargateEventWindows, "disabled", []string{"disabled"}, "there is no Fargate"},
	{types.SettingNameFargateFipsMode, "disabled", []string{"disabled"}, "there is no Fargate"},
	{types.SettingNameFargateTaskRetirementWaitPeriod, "7", []string{"7"}, "there is no Fargate"},
	{types.SettingNameGuardDutyActivate, "off", nil, "it can only be read"},
	{types.SettingNameServiceLongArnFormat, "enabled", []string{"enabled"}, "ARNs are always long"},
	{types.SettingNameTagResourceAuthorization, "off", []string{"off"}, "there are no policies"},
	{types.SettingNameTaskLongArnFormat, "enabled", []string{"enabled"}, "ARNs are always long"},
}

func findSetting(name types.SettingName) (accountSetting, error) {
	i := slices.IndexFunc(accountSettings, func(s accountSetting) bool { return s.name == name })
	if i < 0 {
		return accountSetting{}, awsapi.Refuse(codeInvalid, "The setting name %q is invalid: %v are allowed.", name, name.Values())
	}
	return accountSettings[i], nil
}

// principal is whom a setting is of: the one named, or else the caller. The
// account's root stands for all that have none of their own.
func principal(call *awsapi.Call, ref *string) (string, error) {
	arn := value(ref)
	if arn == "" {
		arn = call.ARN
	}
	if ref == nil && !strings.HasSuffix(arn, ":root") {
		return arn, nil // who signs with a role's own credentials
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || parts[4] != call.Account {
		return "", awsapi.Refuse(codeInvalid, "The principal ARN %q is invalid: that of a user, a role or the root of the account %s is allowed.", arn, call.Account)
	}
	if parts[5] == "root" {
		return "", nil
	}
	return arn, nil
}

func (a *api) putSetting(ctx context.Context, call *awsapi.Call, name types.SettingName, text, of string) (*types.Setting, error) {
	known, err := findSetting(name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(known.allowed, text) {
		return nil, awsapi.Refuse(codeInvalid, "The value %q of the setting %s is not supported by this engine: %s. %q is allowed.", text, name, known.why, known.allowed)
	}
	s, err := do[*engine.Setting](ctx, a.engine, engine.PutSetting{Name: string(name), Principal: of, Value: text})
	if err != nil {
		return nil, err
	}
	out := settingOut(call, known, s.Principal, s.Value)
	return &out, nil
}

func (a *api) putAccountSetting(ctx context.Context, call *awsapi.Call, in *ecs.PutAccountSettingInput) (*ecs.PutAccountSettingOutput, error) {
	whose, err := principal(call, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	s, err := a.putSetting(ctx, call, in.Name, value(in.Value), whose)
	return &ecs.PutAccountSettingOutput{Setting: s}, err
}

func (a *api) putAccountSettingDefault(ctx context.Context, call *awsapi.Call, in *ecs.PutAccountSettingDefaultInput) (*ecs.PutAccountSettingDefaultOutput, error) {
	s, err := a.putSetting(ctx, call, in.Name, value(in.Value), "")
	return &ecs.PutAccountSettingDefaultOutput{Setting: s}, err
}

func (a *api) deleteAccountSetting(ctx context.Context, call *awsapi.Call, in *ecs.DeleteAccountSettingInput) (*ecs.DeleteAccountSettingOutput, error) {
	known, err := findSetting(in.Name)
	if err != nil {
		return nil, err
	}
	whose, err := principal(call, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	s, err := do[*engine.Setting](ctx, a.engine, engine.PutSetting{Name: string(in.Name), Principal: whose})
	if err != nil {
		return nil, err
	}
	out := settingOut(call, known, s.Principal, s.Value)
	return &ecs.DeleteAccountSettingOutput{Setting: &out}, nil
}

// settingOut is a setting with its principal: the account's root, if it is
// everybody's.
func settingOut(call *awsapi.Call, known accountSetting, whose, text string) types.Setting {
	if whose == "" {
		whose = "arn:aws:iam::" + call.Account + ":root"
	}
	kind := types.SettingTypeUser
	if known.allowed == nil {
		kind = types.SettingTypeAwsManaged
	}
	return types.Setting{Name: known.name, Value: optional(text), PrincipalArn: &whose, Type: kind}
}

func (a *api) listAccountSettings(_ context.Context, call *awsapi.Call, in *ecs.ListAccountSettingsInput) (*ecs.ListAccountSettingsOutput, error) {
	if in.Name != "" {
		if _, err := findSetting(in.Name); err != nil {
			return nil, err
		}
	}
	whose, err := principal(call, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	var all []types.Setting
	a.engine.Read(func(v engine.View) { all = settingsOf(v, call, whose, in.EffectiveSettings) })
	all = slices.DeleteFunc(all, func(s types.Setting) bool {
		return in.Name != "" && s.Name != in.Name || in.Value != nil && value(s.Value) != *in.Value
	})
	listing := fmt.Sprintf("ListAccountSettings %q %t %s %q", whose, in.EffectiveSettings, in.Name, value(in.Value))
	var most *int32
	if in.MaxResults != 0 {
		most = &in.MaxResults
	}
	got, next, err := page(all, func(s types.Setting) string { return string(s.Name) }, awsapi.Paging{List: listing}, most, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &ecs.ListAccountSettingsOutput{Settings: orEmpty(got), NextToken: next}, nil
}

// settingsOf are the settings of a principal, by name: those that it has set,
// or, if effective, all with the value that holds for it.
func settingsOf(v engine.View, call *awsapi.Call, whose string, effective bool) []types.Setting {
	own, everybody := map[string]string{}, map[string]string{}
	for _, s := range v.Settings() {
		if s.Principal == whose {
			own[s.Name] = s.Value
		}
		if s.Principal == "" {
			everybody[s.Name] = s.Value
		}
	}
	var out []types.Setting
	for _, known := range accountSettings {
		text, there := own[string(known.name)]
		if !there && !effective {
			continue
		}
		if !there {
			if text, there = everybody[string(known.name)]; !there {
				text = known.usual
			}
		}
		out = append(out, settingOut(call, known, whose, text))
	}
	return out
}

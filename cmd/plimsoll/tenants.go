package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plimsoll/app"
	"plimsoll/engine/tenants"
)

// tenants is `plimsoll tenants`. Its commands change the file of the tenants in
// the state's folder; a running engine sees that at once.
func (c *console) tenants() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "tenants",
		Short:   "Share one engine: tenants with accounts, access keys and quotas of their own",
		GroupID: groupSteer,
		Long: `Add, list, rotate, bound and remove the tenants of an engine. A tenant has an
AWS account of its own: its clusters, queues and hosts are seen by nobody else.
The commands work on the state's folder; a running engine follows at once.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.tenantsAdd(), c.tenantsList(), c.tenantsRotate(), c.tenantsQuota(), c.tenantsRemove())
	return cmd
}

// quotaFlags are the flags of a quota, by the names that Quota has.
func quotaFlags(cmd *cobra.Command, q *tenants.Quota) {
	flags := cmd.Flags()
	flags.IntVar(&q.Clusters, "clusters", 0, "most clusters in a region; 0: any number")
	flags.IntVar(&q.Services, "services", 0, "most services in a region")
	flags.IntVar(&q.Tasks, "tasks", 0, "most tasks in a region: desired counts and standalone tasks together")
	flags.IntVar(&q.Hosts, "max-hosts", 0, "most hosts in a region")
	flags.Int64Var(&q.CPU, "cpu", 0, "most CPU units of all hosts in a region together")
	flags.Int64Var(&q.Memory, "memory", 0, "most memory of all hosts in a region together, in MiB")
	flags.IntVar(&q.Queues, "queues", 0, "most queues in a region")
	flags.Float64Var(&q.RequestsPerSecond, "requests", 0, "most API requests a second")
}

func checkQuota(q tenants.Quota) error {
	for name, value := range map[string]int64{
		"clusters": int64(q.Clusters), "services": int64(q.Services), "tasks": int64(q.Tasks), "max-hosts": int64(q.Hosts),
		"cpu": q.CPU, "memory": q.Memory, "queues": int64(q.Queues),
	} {
		if err := between(name, value, 0, 1<<40); err != nil {
			return err
		}
	}
	if !(q.RequestsPerSecond >= 0 && q.RequestsPerSecond <= 1e6) {
		return misusef("--requests is %g; allowed: 0 to 1000000", q.RequestsPerSecond)
	}
	return nil
}

// changeTenants changes the tenants of a state, which has to be there.
func changeTenants(state string, change func(*tenants.Book) error) error {
	if _, err := os.Stat(state); err != nil {
		return fmt.Errorf("--state %q: %w; start plimsoll engine (or up) with it first, or name its folder", state, err)
	}
	return tenants.Change(state, change)
}

func (c *console) tenantsAdd() *cobra.Command {
	var state string
	var quota tenants.Quota
	var hosts tenants.Hosts
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a tenant, and print its first access key, once",
		Args:  arguments(1, 1, "the tenant's name"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := errors.Join(checkQuota(quota), checkGrant(hosts, quota)); err != nil {
				return err
			}
			var made tenants.Tenant
			err := changeTenants(state, func(b *tenants.Book) error {
				t, err := b.Add(args[0], quota, hosts, time.Now(), app.Account)
				if err == nil {
					made = *t
				}
				return err
			})
			if err != nil {
				return err
			}
			return c.showKey(made)
		},
	}
	stateFlag(cmd, &state)
	quotaFlags(cmd, &quota)
	flags := cmd.Flags()
	flags.IntVar(&hosts.Count, "hosts", 1, "hosts that the tenant has in each region from the start, in its cluster \"default\"; 0 for none")
	flags.IntVar(&hosts.Zones, "zones", 1, "number of availability zones that they are spread over")
	flags.Int64Var(&hosts.CPU, "host-cpu", 1024, "CPU units of each host")
	flags.Int64Var(&hosts.Memory, "host-memory", 1024, "memory of each host, in MiB")
	return cmd
}

// checkGrant refuses first hosts that the tenant's own quota would not allow.
func checkGrant(h tenants.Hosts, q tenants.Quota) error {
	for _, f := range []struct {
		name               string
		value, least, most int64
	}{
		{"hosts", int64(h.Count), 0, 250}, {"zones", int64(h.Zones), 1, 26},
		{"host-cpu", h.CPU, 1, 1 << 20}, {"host-memory", h.Memory, 1, 1 << 24},
	} {
		if err := between(f.name, f.value, f.least, f.most); err != nil {
			return err
		}
	}
	switch n := int64(h.Count); {
	case q.Hosts > 0 && h.Count > q.Hosts:
		return misusef("--hosts %d is over --max-hosts %d", h.Count, q.Hosts)
	case q.CPU > 0 && n*h.CPU > q.CPU:
		return misusef("--hosts %d with --host-cpu %d are over --cpu %d", h.Count, h.CPU, q.CPU)
	case q.Memory > 0 && n*h.Memory > q.Memory:
		return misusef("--hosts %d with --host-memory %d are over --memory %d", h.Count, h.Memory, q.Memory)
	}
	return nil
}

// showKey prints a tenant's newest key. It is shown this once.
func (c *console) showKey(t tenants.Tenant) error {
	k := t.Keys[len(t.Keys)-1]
	_, err := fmt.Fprintf(c.out, "# tenant %s, account %s; the secret is not shown again\n[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		t.Name, t.Account, t.Name, k.ID, k.Secret)
	return err
}

func (c *console) tenantsList() *cobra.Command {
	var state, output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tenants, their accounts, keys and quotas; no secrets",
		Args:  arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			if err := oneOf("output", output, "table", "json"); err != nil {
				return err
			}
			book, err := tenants.Read(state)
			if err != nil {
				return err
			}
			if output == "json" {
				return c.tenantsJSON(book)
			}
			t := newTable("TENANT", "ACCOUNT", "KEYS", "HOSTS", "QUOTA", "STATUS")
			for _, one := range book.Tenants {
				status := "active"
				if one.Removing {
					status = "being removed"
				}
				t.row(one.Name, one.Account, keysText(one.Keys), strconv.Itoa(one.Hosts.Count), quotaText(one.Quota), status)
			}
			return t.write(c.out)
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// tenantsJSON prints the tenants without anything secret.
func (c *console) tenantsJSON(book tenants.Book) error {
	type key struct {
		ID      string    `json:"id"`
		Created time.Time `json:"created"`
		Expires time.Time `json:"expires,omitzero"`
	}
	type tenant struct {
		Name     string        `json:"name"`
		Account  string        `json:"account"`
		Created  time.Time     `json:"created"`
		Keys     []key         `json:"keys"`
		Hosts    tenants.Hosts `json:"hosts"`
		Quota    tenants.Quota `json:"quota"`
		Removing bool          `json:"removing,omitempty"`
	}
	list := []tenant{}
	for _, t := range book.Tenants {
		one := tenant{Name: t.Name, Account: t.Account, Created: t.Created, Hosts: t.Hosts, Quota: t.Quota, Removing: t.Removing}
		for _, k := range t.Keys {
			one.Keys = append(one.Keys, key{k.ID, k.Created, k.Expires})
		}
		list = append(list, one)
	}
	encoder := json.NewEncoder(c.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{"tenants": list})
}

func keysText(keys []tenants.Key) string {
	var words []string
	for _, k := range keys {
		word := k.ID
		if !k.Expires.IsZero() {
			word += " (until " + k.Expires.Format(time.RFC3339) + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func quotaText(q tenants.Quota) string {
	var words []string
	for _, one := range []struct {
		name  string
		value float64
	}{
		{"clusters", float64(q.Clusters)}, {"services", float64(q.Services)}, {"tasks", float64(q.Tasks)},
		{"hosts", float64(q.Hosts)}, {"cpu", float64(q.CPU)}, {"memory", float64(q.Memory)},
		{"queues", float64(q.Queues)}, {"requests/s", q.RequestsPerSecond},
	} {
		if one.value > 0 {
			words = append(words, fmt.Sprintf("%s %g", one.name, one.value))
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func (c *console) tenantsRotate() *cobra.Command {
	var state string
	var keep time.Duration
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Give a tenant a new access key, and print it, once",
		Long: `Give a tenant a new access key. The keys that it has hold for --keep more, so
that its clients can change over; the credentials of its running tasks are not
touched.`,
		Args: arguments(1, 1, "the tenant's name"),
		RunE: func(_ *cobra.Command, args []string) error {
			if keep < 0 {
				return misusef("--keep is %s; it cannot be below 0", keep)
			}
			var changed tenants.Tenant
			err := changeTenants(state, func(b *tenants.Book) error {
				t, err := b.Rotate(args[0], keep, time.Now())
				if err == nil {
					changed = *t
				}
				return err
			})
			if err != nil {
				return err
			}
			return c.showKey(changed)
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().DurationVar(&keep, "keep", 24*time.Hour, "for how long the present keys still hold")
	return cmd
}

func (c *console) tenantsQuota() *cobra.Command {
	var state string
	var quota tenants.Quota
	cmd := &cobra.Command{
		Use:   "quota NAME",
		Short: "Change a tenant's quotas: those that are named, 0 for none",
		Args:  arguments(1, 1, "the tenant's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkQuota(quota); err != nil {
				return err
			}
			var changed tenants.Quota
			err := changeTenants(state, func(b *tenants.Book) error {
				t, err := b.Find(args[0])
				if err != nil {
					return err
				}
				set := cmd.Flags().Changed
				for _, f := range []struct {
					name string
					put  func()
				}{
					{"clusters", func() { t.Quota.Clusters = quota.Clusters }}, {"services", func() { t.Quota.Services = quota.Services }},
					{"tasks", func() { t.Quota.Tasks = quota.Tasks }}, {"max-hosts", func() { t.Quota.Hosts = quota.Hosts }},
					{"cpu", func() { t.Quota.CPU = quota.CPU }}, {"memory", func() { t.Quota.Memory = quota.Memory }},
					{"queues", func() { t.Quota.Queues = quota.Queues }},
					{"requests", func() { t.Quota.RequestsPerSecond = quota.RequestsPerSecond }},
				} {
					if set(f.name) {
						f.put()
					}
				}
				changed = t.Quota
				return nil
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "%s: %s\n", args[0], quotaText(changed))
			return err
		},
	}
	stateFlag(cmd, &state)
	quotaFlags(cmd, &quota)
	return cmd
}

func (c *console) tenantsRemove() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a tenant: its keys at once, then its tasks and its state",
		Args:  arguments(1, 1, "the tenant's name"),
		RunE: func(_ *cobra.Command, args []string) error {
			message := "%s is removed\n"
			err := changeTenants(state, func(b *tenants.Book) error {
				t, err := b.Find(args[0])
				if err != nil {
					return err
				}
				if _, err := os.Stat(filepath.Join(state, "worlds", t.Account)); err == nil {
					t.Removing = true
					message = "%s has no access any more; the engine stops its tasks and removes its state, now or at its next start\n"
					return nil
				}
				b.Drop(t.Name)
				return nil
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, message, args[0])
			return err
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

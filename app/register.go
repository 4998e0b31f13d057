package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"

	"plimsoll/compose"
	"plimsoll/demand/amazon"
	"plimsoll/discovery"
	"plimsoll/discovery/cloudmap"
	"plimsoll/discovery/targetgroup"
)

// registries adds the keepers of the places in AWS that the file names. AWS is as
// the environment says, and is not asked before there is something to register;
// dir is where it is kept what was registered; empty: nowhere.
func (f *finder) registries(project *compose.Project, dir string) {
	var maps []discovery.Place
	var groups []discovery.Place
	inMaps, inGroups := map[string]bool{}, map[string]bool{}
	for _, s := range project.Services {
		for _, one := range s.Scaling.AllRegisters() {
			if one.CloudMap != "" {
				maps = append(maps, discovery.Place{Service: s.Name, In: one.CloudMap, Port: one.Port})
				inMaps[s.Name] = true
			}
			if one.TargetGroup != "" {
				groups = append(groups, discovery.Place{Service: s.Name, In: one.TargetGroup, Port: one.Port})
				inGroups[s.Name] = true
			}
		}
	}
	if len(maps) > 0 {
		f.keepers = append(f.keepers, keeper{cloudmap.New(cloudmap.Options{Places: maps, Config: environmentAWS, Log: f.log}), inMaps})
	}
	ledger := fileLedger(dir)
	if len(groups) > 0 || ledger.exists() {
		o := targetgroup.Options{Places: groups, Config: environmentAWS, Log: f.log}
		if dir != "" {
			o.Ledger = ledger
		} else {
			f.log.Warn("without --state it is not remembered over a restart which targets were registered: those of tasks that end meanwhile stay in their groups until somebody deregisters them")
		}
		f.keepers = append(f.keepers, keeper{targetgroup.New(o), inGroups})
	}
}

// registers tells whether a file names places in AWS.
func registers(project *compose.Project) bool {
	if project == nil {
		return false
	}
	for _, s := range project.Services {
		if len(s.Scaling.AllRegisters()) > 0 {
			return true
		}
	}
	return false
}

// environmentAWS is how the AWS environment says that AWS is reached.
func environmentAWS(context.Context) (aws.Config, error) { return amazon.Config("", nil) }

// ledgerName is the file of the targets that were registered.
const ledgerName = "targets.json"

// fileLedger is the folder of a ledger.
type fileLedger string

func (l fileLedger) exists() bool {
	if l == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(string(l), ledgerName))
	return err == nil
}

func (l fileLedger) Load() ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(string(l), ledgerName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

func (l fileLedger) Save(text []byte) error {
	if err := stateDir(l).writeFile(ledgerName, text); err != nil {
		return err
	}
	folder, err := os.Open(string(l))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

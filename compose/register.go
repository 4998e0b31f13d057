package compose

// Register is where else a service's tasks are registered.
type Register struct {
	CloudMap    string `yaml:"cloudMap" jsonschema:"pattern=^(srv-[a-z0-9]+|arn:aws[a-z-]*:servicediscovery:.+:service/srv-[a-z0-9]+|[^.:/ ]+[.][^:/ ]+)$,example=web.shop.local" words:"an id (srv-...), an ARN, or a service's name, a dot and its namespace's" jsonschema_description:"A service of AWS Cloud Map that the tasks are instances of: its id, its ARN, or its name and its namespace's."`
	TargetGroup string `yaml:"targetGroup" jsonschema:"pattern=^(arn:aws[a-z-]*:elasticloadbalancing:.+:targetgroup/.+|[A-Za-z0-9-]+)$" words:"an ARN or a name" jsonschema_description:"A target group of an Application or Network Load Balancer that the tasks are targets of, of target type ip or instance: its ARN or its name."`
	Port        int    `yaml:"port" jsonschema:"minimum=1,maximum=65535" jsonschema_description:"The container port that is registered; without it the route's, else the first of ports."`
}

// AllRegisters are the register and the registers of a service.
func (s *Scaling) AllRegisters() []*Register {
	var all []*Register
	if s.Register != nil {
		all = append(all, s.Register)
	}
	for i := range s.Registers {
		all = append(all, &s.Registers[i])
	}
	return all
}

// checkRegisters has the rules over several keys of each place.
func (s *Scaling) checkRegisters(c check) {
	if s.Register == nil && len(s.Registers) > 0 {
		c.key("registers", "registers are for more than one: name the first in register")
		return
	}
	for i, one := range s.AllRegisters() {
		if at := registerNode(c.node, i); one.CloudMap == "" && one.TargetGroup == "" {
			c.at(at, "it names no place; set cloudMap, targetGroup or both")
		}
	}
}

// registerNode is where the place with this number is in a section.
func registerNode(section *node, i int) *node {
	if first := section.get("register"); first != nil {
		if i == 0 {
			return first
		}
		i--
	}
	return section.get("registers").items[i]
}

// acrossRegisters settles the ports of all services' places.
func (r *report) acrossRegisters(p *Project, root *node) {
	for i := range p.Services {
		s := &p.Services[i]
		n, _ := root.find("services", s.Name)
		for j, one := range s.Scaling.AllRegisters() {
			if one.Port == 0 && s.Scaling.Route != nil {
				one.Port = s.Scaling.Route.Port
			}
			r.tcpPort(s, "register", &one.Port, registerNode(n.get("x-plimsoll"), j))
		}
	}
}

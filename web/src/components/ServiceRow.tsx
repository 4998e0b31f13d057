import type { Service } from "../api";
import { clock, figure } from "../format";
import type { Sample } from "../state";
import { Lines } from "./Lines";
import { Use } from "./Use";

interface Props {
  service: Service;
  samples: readonly Sample[];
  colour: number;
  /** The server's time, in milliseconds. */
  now: number;
  dark: boolean;
  focused: boolean;
  onFocus: () => void;
}

/** A service: its figures, its lines over time, and why. */
export function ServiceRow({ service, samples, colour, now, dark, focused, onFocus }: Props) {
  const title = `service-${service.name}`;
  return (
    <article
      class="service"
      data-testid="service-row"
      data-service={service.name}
      data-focused={focused}
      style={{ "--service": `var(--c${colour})`, "--on-service": `var(--on-c${colour})` }}
      aria-labelledby={title}
    >
      <div class="service-text">
        <header>
          <button type="button" id={title} class="name" aria-pressed={focused} onClick={onFocus} title="Make this service stand out">
            <i class="dot" aria-hidden="true" />
            <span>{service.name}</span>
          </button>
          <Badges service={service} />
        </header>
        <dl class="figures">
          <Figure name="demand" value={figure(service.demand)} />
          <Figure name="want" value={figure(service.want)} />
          <Figure name="grant" value={figure(service.grant)} short={service.grant !== null && service.want !== null && service.grant < service.want} />
          <Figure name="running" value={figure(service.running)} strong />
          <Figure name="pending" value={figure(service.pending)} quiet={service.pending === 0} />
          <Figure name="protected" value={figure(service.protected)} quiet={service.protected === 0} />
        </dl>
        <Use
          used={service.used}
          reserved={{ cpu: service.reserved.cpu * service.running, memory: service.reserved.memory * service.running }}
        />
        <p class="reason" title={service.reason}>
          {service.reason || "No decision yet."}
        </p>
      </div>
      <Lines name={service.name} samples={samples} now={now} dark={dark} />
    </article>
  );
}

function Badges({ service }: { service: Service }) {
  return (
    <ul class="badges" aria-label="About this service">
      {service.managed ? (
        <>
          <li title="Priority: 1 is the highest">
            <span class="sr">priority </span>P{service.priority}
          </li>
          <li title="The least and the most tasks">
            {service.min}–{service.max}
          </li>
        </>
      ) : (
        <li title="Its desired count is left alone">not controlled</li>
      )}
      {service.remainder && <li title="Takes what nobody else wants">remainder</li>}
      {service.cooperative && <li title="Never stopped while it says that it is busy">cooperative</li>}
      {service.forecast && <li title={service.forecast.reason}>forecast{service.forecast.off && " off"}</li>}
      {service.paused && <li class="warn">paused</li>}
      {service.floor > 0 && (
        <li class="warn" title={service.floorUntil && `Set by hand, until ${clock(service.floorUntil)}`}>
          floor {service.floor}
        </li>
      )}
    </ul>
  );
}

function Figure({ name, value, strong, quiet, short }: { name: string; value: string; strong?: boolean; quiet?: boolean; short?: boolean }) {
  return (
    <div data-figure={name} data-strong={strong} data-quiet={quiet} data-short={short}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

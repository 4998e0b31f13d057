import type { Action, Model } from "../state";
import { Header } from "./Header";
import { Hosts } from "./Hosts";
import { Journal } from "./Journal";
import { ServiceRow } from "./ServiceRow";

interface Props {
  model: Model;
  /** The time by our clock, in milliseconds. */
  now: number;
  dark: boolean;
  dispatch: (action: Action) => void;
  onTheme: () => void;
}

export function App({ model, now, dark, dispatch, onTheme }: Props) {
  const { snapshot, colours, focus } = model;
  const problem = snapshot?.problem ?? "";
  return (
    <>
      <Header connection={model.connection} snapshot={snapshot} dark={dark} onTheme={onTheme} />
      <div class="problem" role="alert" data-on={problem !== ""} data-testid="problem">
        {problem !== "" && (
          <p>
            <b>No decision can be made:</b> {problem}. Counts stay as they are.
          </p>
        )}
      </div>
      <main data-stale={model.connection === "reconnecting"}>
        <div class="stage">
          <Hosts hosts={snapshot?.hosts ?? []} tasks={snapshot?.tasks ?? []} ghosts={model.ghosts} colours={colours} focus={focus} />
          <section class="panel" aria-labelledby="services-title">
            <div class="panel-head">
              <h2 id="services-title">Services</h2>
              <LineKey />
            </div>
            {snapshot?.services.length === 0 && <p class="empty">The cluster has no service yet.</p>}
            {(snapshot?.services ?? []).map((service) => (
              <ServiceRow
                key={service.name}
                service={service}
                samples={model.samples[service.name] ?? []}
                colour={colours[service.name] ?? 0}
                now={now + model.skew}
                dark={dark}
                focused={focus === service.name}
                onFocus={() => dispatch({ type: "focus", service: service.name })}
              />
            ))}
          </section>
        </div>
        <Journal decisions={model.decisions} events={model.events} colours={colours} focus={focus} />
      </main>
    </>
  );
}

/** What the lines of the charts mean. */
function LineKey() {
  return (
    <ul class="key" aria-label="Key to the charts">
      <li>
        <i class="stroke" data-line="demand" /> demand (right)
      </li>
      <li>
        <i class="stroke" data-line="want" /> want
      </li>
      <li>
        <i class="stroke" data-line="running" /> running
      </li>
    </ul>
  );
}

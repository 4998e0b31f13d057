import { render } from "preact";
import { readHistory } from "./api";
import { App } from "./components/App";
import { initial, reduce, type Action } from "./state";
import { connect, type Source } from "./stream";
import { watchTheme } from "./theme";

/** Runs the page in the element. */
function start(at: HTMLElement): void {
  let model = initial;
  let due = false;
  const draw = () => {
    due = false;
    render(<App model={model} now={Date.now()} dark={theme.dark()} dispatch={dispatch} onTheme={theme.toggle} />, at);
  };
  // However much arrives at once, it is drawn once a frame.
  const soon = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(draw);
  };
  const theme = watchTheme(soon);
  const known = new Set<string>(); // services whose history was asked for on this connection
  const dispatch = (action: Action) => {
    model = reduce(model, action);
    if (action.type === "opened") known.clear();
    if (action.type === "snapshot") {
      for (const { name } of action.snapshot.services) {
        if (!known.has(name)) {
          known.add(name);
          readHistory(name).then(
            (points) => dispatch({ type: "history", service: name, points }),
            (problem: unknown) => console.warn(problem), // the lines begin now instead
          );
        }
      }
    }
    soon();
  };
  at.replaceChildren();
  draw();
  connect(dispatch, {
    open: () => new EventSource("/v1/stream") as unknown as Source,
    now: Date.now,
    later: (wait, then) => void setTimeout(then, wait),
  });
  // The charts move along with the time.
  setInterval(() => {
    if (!document.hidden) dispatch({ type: "tick", now: Date.now() });
  }, 1000);
}

start(document.getElementById("page")!);

// The dashboard in a real browser, over the example that really runs.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { openBrowser } from "./browser.mjs";
import { Program } from "./program.mjs";

const artefacts = resolve(import.meta.dirname, "..", "artefacts");
mkdirSync(artefacts, { recursive: true });

let program;
let browser;
let page;
const complaints = []; // what the page reported while the server was there
const elsewhere = []; // requests to other servers
let serving = true;

before(async () => {
  program = new Program();
  await program.start();
  browser = await openBrowser();
  page = browser.page;
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (serving && message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(program.url)) elsewhere.push(request.url());
  });
  await page.goto(program.url);
});

after(async () => {
  await browser?.close();
  await program?.stop();
});

const one = (id) => page.locator(`[data-testid=${id}]`).first();
const shot = (name) => page.screenshot({ path: join(artefacts, `${name}.png`), fullPage: true, animations: "disabled" });
const connection = (state) => page.locator(`[data-testid=connection][data-state=${state}]`).waitFor();
const pageColour = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);

test("the page is live and shows the hosts of each zone", async () => {
  await connection("live");
  await one("host").waitFor();
  const { hosts } = await (await fetch(`${program.url}v1/hosts`)).json();
  assert.ok(hosts.length > 1, "the example has several hosts");
  const shown = await page.locator("[data-testid=host]").evaluateAll((boxes) => boxes.map((b) => b.dataset.id));
  assert.deepEqual(shown.sort(), hosts.map((h) => h.id).sort());
});

test("tasks appear as blocks of their service, and are named for those who cannot see them", async () => {
  await page.locator("[data-testid=host] [data-testid=task][data-status=RUNNING]").first().waitFor();
  const blocks = await page.locator("[data-testid=task]").evaluateAll((all) =>
    all.map((b) => ({ service: b.dataset.service, label: b.getAttribute("aria-label"), width: b.getBoundingClientRect().width })),
  );
  for (const block of blocks) {
    assert.ok(block.label.startsWith(block.service), `the label ${block.label} begins with ${block.service}`);
    assert.ok(block.width > 0, `the block of ${block.label} can be seen`);
  }
});

test("each service has its row, and its chart draws a line in the service's colour", async () => {
  const { services } = await (await fetch(`${program.url}v1/services`)).json();
  const rows = await page.locator("[data-testid=service-row]").evaluateAll((all) => all.map((r) => r.dataset.service));
  assert.deepEqual(rows, services.map((s) => s.name), "rows stand in order of priority");
  await page.waitForFunction((count) => {
    const charts = [...document.querySelectorAll("[data-testid=chart]")];
    return charts.length === count && charts.every(drawn);

    function drawn(chart) {
      const canvas = chart.querySelector("canvas");
      if (!canvas) return false;
      const hex = getComputedStyle(chart).getPropertyValue("--service").trim();
      const wanted = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let found = 0;
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] > 250 && wanted.every((value, part) => Math.abs(data[i + part] - value) < 8)) found++;
      }
      return found > 50;
    }
  }, services.length);
});

test("what is really used stands beside what is reserved, for services and hosts", async () => {
  for (const part of ["service-row", "host"]) {
    await page.locator(`[data-testid=${part}] [data-testid=use][data-measured=true]`).first().waitFor({ timeout: 60_000 });
  }
  await page.waitForFunction(() => /^\d+\.\d\d$/.test(document.querySelector("[data-testid=service-row] [data-use=CPU] b").textContent), null, { timeout: 60_000 });
  const memory = await page.locator("[data-testid=service-row] [data-use=memory] b").first().textContent();
  assert.match(memory, /^[1-9][0-9.]* (MiB|GiB)$/, "a running task uses memory");
});

test("decisions appear with their reasons", async () => {
  await one("decision").waitFor();
  const reason = await one("decision").locator(".why").textContent();
  assert.match(reason, /\d/, "a reason has the numbers");
});

test("a service stands out by the keyboard alone", async () => {
  const name = page.locator("[data-testid=service-row] button.name").first();
  await name.focus();
  await page.keyboard.press("Enter");
  await page.locator("[data-testid=service-row][data-focused=true]").waitFor();
  assert.equal(await name.getAttribute("aria-pressed"), "true");
  await page.keyboard.press("Enter");
  await page.locator("[data-testid=service-row][data-focused=true]").waitFor({ state: "detached" });
});

test("the theme follows the system until it is chosen, and the choice stays", async () => {
  await page.emulateMedia({ colorScheme: "light" });
  const light = await pageColour();
  await shot("dashboard-light");
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await pageColour();
  assert.notEqual(dark, light);
  await page.evaluate(() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))); // the charts are drawn anew
  await shot("dashboard-dark");
  await page.getByRole("button", { name: "Light colours" }).click();
  assert.equal(await pageColour(), light);
  await page.reload();
  await connection("live");
  assert.equal(await pageColour(), light, "the choice is kept over a reload");
  await page.getByRole("button", { name: "Dark colours" }).click();
});

test("at the width of a phone nothing goes over the edge", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  await one("service-row").waitFor();
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${content} px of content in ${window} px`);
  await shot("dashboard-phone");
  await page.setViewportSize({ width: 1280, height: 900 });
});

test("when the server dies the page says so, and is live again when it is back", async () => {
  serving = false;
  await program.kill();
  await connection("reconnecting");
  assert.ok((await page.locator("[data-testid=host]").count()) > 0, "what was seen last is still shown");
  await program.start();
  await connection("live");
  serving = true;
  await page.locator("[data-testid=host] [data-testid=task][data-status=RUNNING]").first().waitFor();
  await one("decision").waitFor();
});

test("the page reported no error and asked no other server for anything", () => {
  assert.deepEqual(complaints, []);
  assert.deepEqual(elsewhere, []);
});

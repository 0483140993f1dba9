// Draws the boards of grafana/boards as they look from FROM to TO (seconds since 1970): one PNG each.
//   node draw.mjs PROMETHEUS FROM TO SCRAPE_INTERVAL FOLDER
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const here = import.meta.dirname;
const [prometheus, from, to, scrape, folder] = process.argv.slice(2);

/** The board of one objective shows this one. */
const SLO = 'orders-30s';

/** As Grafana chooses it for a panel's width: no finer than there are samples. */
const range = { from: Number(from), to: Number(to) };
range.step = Math.max(Number(scrape), Math.ceil((range.to - range.from) / 600));
range.from -= range.from % range.step;
range.to -= range.to % range.step;

async function ask(query) {
  const filled = query
    .replaceAll('$__rate_interval', `${Math.max(range.step + Number(scrape), 4 * Number(scrape))}s`)
    .replaceAll('$__range', `${range.to - range.from}s`)
    .replaceAll('$service', '.*')
    .replaceAll('$slo', SLO);
  const parameters = new URLSearchParams({ query: filled, start: range.from, end: range.to, step: range.step });
  const answer = await (await fetch(`${prometheus}/api/v1/query_range?${parameters}`)).json();
  if (answer.status !== 'success') throw new Error(`${filled}: ${answer.error}`);
  return answer.data.result;
}

async function answersFor(board) {
  const answers = {};
  for (const panel of board.panels) {
    answers[panel.id] = {};
    for (const target of panel.targets ?? []) {
      const found = await ask(target.expr);
      if (found.length === 0) console.warn(`${board.title} / ${panel.title}: nothing to show for ${target.expr}`);
      answers[panel.id][target.refId] = found;
    }
  }
  return answers;
}

const bundle = await build({
  entryPoints: [join(here, 'page.jsx')],
  bundle: true,
  write: false,
  minify: true,
  outdir: here,
  format: 'iife',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  loader: { '.woff2': 'dataurl', '.woff': 'empty', '.ttf': 'empty' },
  logLevel: 'error',
});
const text = (ending) => bundle.outputFiles.find(({ path }) => path.endsWith(ending)).text;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  await mkdir(folder, { recursive: true });
  for (const file of (await readdir(join(here, '../../grafana/boards'))).sort()) {
    const board = JSON.parse(await readFile(join(here, '../../grafana/boards', file)));
    const answers = await answersFor(board);
    const page = await browser.newPage({ viewport: { width: 1432, height: 1000 } });
    page.on('pageerror', (error) => console.error(`${file}: ${error.stack}`));
    // A page of a site, though of none that is asked: only then is there a local storage, which the components want.
    await page.route('http://boards.test/', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }));
    await page.goto('http://boards.test/');
    await page.addStyleTag({ content: text('.css') });
    await page.addScriptTag({ content: text('.js') });
    await page.evaluate((shown) => window.show(shown), { board, answers, range });
    await page.waitForFunction(() => document.querySelector('#board canvas, #board svg'));
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await page.locator('#board').screenshot({ path: join(folder, file.replace('.json', '.png')), animations: 'disabled' });
    await page.close();
    console.log(`drawn: ${board.title}`);
  }
} finally {
  await browser.close();
}

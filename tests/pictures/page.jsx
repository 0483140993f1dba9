// A board as Grafana shows it, drawn by Grafana's own components from what Prometheus answered. It is bundled and put into a
// browser by draw.mjs, which then calls `show`.
import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';

import {
  applyFieldOverrides,
  createTheme,
  dateTime,
  FieldType,
  getFieldDisplayValues,
  Registry,
  ThemeContext,
  toDataFrame,
} from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { BigValue, GlobalStyles, PanelChrome, TimeSeries, VizRepeater } from '@grafana/ui';
import { createRoot } from 'react-dom/client';

// Grafana's grid: 24 columns, and rows of 30 pixels with gaps of 8.
const WIDTH = 1400;
const GAP = 8;
const across = (columns) => (columns * (WIDTH + GAP)) / 24 - GAP;
const down = (rows) => rows * (30 + GAP) - GAP;

const theme = createTheme({ colors: { mode: 'light' } });

const legendOf = (format, labels) => format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');

/** Grafana's frames: one for each series, with a value or a gap at each step. */
function framesOf(panel, answers, { from, to, step }) {
  const times = [];
  for (let at = from; at <= to; at += step) times.push(at);
  const frames = panel.targets.flatMap((target) =>
    answers[target.refId].map(({ metric, values }) => {
      const found = new Map(values.map(([at, value]) => [at, Number(value)]));
      return toDataFrame({
        refId: target.refId,
        fields: [
          { name: 'Time', type: FieldType.time, values: times.map((at) => at * 1000) },
          {
            name: 'Value',
            type: FieldType.number,
            labels: metric,
            values: times.map((at) => (Number.isFinite(found.get(at)) ? found.get(at) : null)),
            config: { ...panel.fieldConfig.defaults, displayNameFromDS: legendOf(target.legendFormat, metric) },
          },
        ],
      });
    }),
  );
  return applyFieldOverrides({
    data: frames,
    fieldConfig: panel.fieldConfig,
    // The defaults are with the fields already, and the boards have no overrides.
    fieldConfigRegistry: new Registry(() => []),
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
}

function Stat({ panel, frames, width, height }) {
  const { options, fieldConfig } = panel;
  const getValues = () =>
    getFieldDisplayValues({
      fieldConfig,
      reduceOptions: { values: false, ...options.reduceOptions },
      replaceVariables: (text) => text,
      theme,
      data: frames,
      sparkline: options.graphMode !== 'none',
      timeZone: 'utc',
    });
  return (
    <VizRepeater
      getValues={getValues}
      source={frames}
      width={width}
      height={height}
      orientation="auto"
      renderValue={({ value, width, height, count, alignmentFactors }) => (
        <BigValue
          value={value.display}
          sparkline={value.sparkline}
          width={width}
          height={height}
          count={count}
          theme={theme}
          alignmentFactors={alignmentFactors}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          textMode={options.textMode}
          justifyMode="auto"
        />
      )}
    />
  );
}

function Panel({ panel, answers, range }) {
  const { x, y, w, h } = panel.gridPos;
  const place = { position: 'absolute', left: across(x) + (x && GAP), top: down(y) + (y && GAP) };
  if (panel.type === 'row') {
    return <div style={{ ...place, font: theme.typography.h6.fontSize, fontWeight: 500, lineHeight: '30px' }}>{panel.title}</div>;
  }
  const frames = framesOf(panel, answers, range);
  const timeRange = { from: dateTime(range.from * 1000), to: dateTime(range.to * 1000) };
  timeRange.raw = timeRange;
  return (
    <div style={place}>
      <PanelChrome title={panel.title} width={across(w)} height={down(h)}>
        {(width, height) => {
          if (frames.length === 0) return <div style={{ padding: 16, color: theme.colors.text.secondary }}>No data</div>;
          if (panel.type === 'stat') return <Stat {...{ panel, frames, width, height }} />;
          const legend = { showLegend: true, calcs: [], ...panel.options.legend };
          return <TimeSeries {...{ frames, timeRange, width, height, legend }} timeZone="utc" />;
        }}
      </PanelChrome>
    </div>
  );
}

function Board({ board, answers, range }) {
  const rows = Math.max(...board.panels.map(({ gridPos: { y, h } }) => y + h));
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div id="board" style={{ width: WIDTH + 32, padding: 16, background: theme.colors.background.canvas }}>
        <h4 style={{ margin: 0 }}>{board.title}</h4>
        <p style={{ margin: '4px 0 12px', color: theme.colors.text.secondary }}>{board.description}</p>
        <div style={{ position: 'relative', height: down(rows) }}>
          {board.panels.map((panel) => (
            <Panel key={panel.id} panel={panel} answers={answers[panel.id]} range={range} />
          ))}
        </div>
      </div>
    </ThemeContext.Provider>
  );
}

window.show = async (shown) => {
  await initPluginTranslations('tovar');
  await document.fonts.load('400 12px Inter');
  await document.fonts.load('500 12px Inter');
  createRoot(document.body.appendChild(document.createElement('div'))).render(<Board {...shown} />);
};

"""How report.html looks: narrow screens first, light or dark as the reader's system is, printable."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#171a21;--quiet:#5a6270;--line:#dfe3ea;--soft:#eef1f6;
--c1:#2455d6;--c2:#b4500b;--c3:#157347;--c4:#7a3ea8;--c5:#0f7490;--c6:#a3264f;
--shade:36 85 214;--fault:190 90 20;--strong:#fff;
--gold:#ffe08a;--gold-ink:#3d2c00;--pred:#cfe0ff;
--pred-ink:#0b2a6b;
--both:#bfeacb;--both-ink:#06381a;--wrong:#ffc9bf;--wrong-ink:#571008;--up:#12683f;--down:#a3261b}
@media (prefers-color-scheme:dark){:root{--bg:#101319;--card:#181c24;--ink:#e9ecf2;--quiet:#a3adbd;--line:#2c3340;
--soft:#222834;--c1:#82aaff;--c2:#ffb070;--c3:#6fd79c;--c4:#cfa2f5;--c5:#6fd3e8;--c6:#ff9dbd;
--shade:130 170 255;--fault:255 170 100;--strong:#0b1020;
--gold:#5c4708;--gold-ink:#ffe9ad;--pred:#1d3a78;
--pred-ink:#dbe7ff;--both:#17502d;--both-ink:#d3f7df;--wrong:#6d231a;--wrong-ink:#ffdcd6;--up:#7fdca8;--down:#ff9b8f}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans",
"Noto Sans CJK SC","DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1060px;margin:0 auto;padding:28px 18px 56px}
h1{font-size:1.55rem;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.12rem;margin:38px 0 12px}h3{font-size:.98rem;margin:22px 0 8px}
p{margin:.4em 0}.quiet{color:var(--quiet)}.small{font-size:.84rem}.card>h3{margin:0 0 4px}
.card>.quiet,.chart>.quiet{font-size:.88rem;margin:2px 0 8px}
.eyebrow{color:var(--quiet);font-size:.84rem;letter-spacing:.02em;margin:0 0 6px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px}
.grid{display:grid;gap:14px;align-items:start}
.grid.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,430px),1fr))}.grid{align-items:start}
.card+.grid,.grid+.card,.card+.card{margin-top:14px}.grid>.card,.tiles>.card{margin-top:0}
.columns{columns:3 290px;column-gap:14px}.columns>.card{break-inside:avoid;margin:0 0 14px}
.tiles{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(46%,190px),1fr));margin-top:20px}
.tile .what{color:var(--quiet);font-size:.86rem}.tile .value{font-size:2.1rem;line-height:1.2;font-weight:650;
font-variant-numeric:tabular-nums}.tile .from{font-size:.88rem;color:var(--quiet)}
.up{color:var(--up);font-weight:600}.down{color:var(--down);font-weight:600}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.93rem}
th,td{padding:7px 10px;text-align:right;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--quiet)}th:first-child,td:first-child{text-align:left}
tbody th{color:inherit;font-weight:500}th.short{white-space:nowrap}td.word{text-align:left;min-width:6em}
.groups td,.groups th{padding-left:6px;padding-right:6px}
thead th{vertical-align:bottom}
tr:last-child>*{border-bottom:0}
.scroll{overflow-x:auto}.scroll.tall{max-height:720px;overflow-y:auto}
.scroll tbody th,.scroll thead th:first-child{position:sticky;left:0;background:var(--card)}
.bar{width:26%;min-width:34px}.bar i{display:block;height:9px;border-radius:5px;
background:var(--c1)}
.bar span{display:block;background:var(--soft);border-radius:5px}
dl{margin:0;display:grid;grid-template-columns:max-content 1fr;gap:5px 16px;font-size:.93rem}
dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
pre{margin:0;background:var(--soft);border-radius:8px;padding:12px 14px;font:.84rem/1.5 ui-monospace,Menlo,Consolas,
"DejaVu Sans Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere}
details>summary{cursor:pointer;color:var(--c1);font-weight:550;padding:4px 0}
.chart{margin:0;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 14px 8px}
.chart figcaption{font-weight:600;font-size:.95rem;display:flex;flex-wrap:wrap;gap:2px 14px;
justify-content:space-between}
.chart svg{display:block;width:100%;height:auto;margin-top:6px}
.rule{stroke:var(--line);stroke-width:1}.tick,.axis{fill:var(--quiet);font-size:12.5px}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}.line.faint{stroke-width:1;opacity:.38}
.line.c1{stroke:var(--c1)}.line.c2{stroke:var(--c2)}.line.c3{stroke:var(--c3)}.line.c4{stroke:var(--c4)}
.line.c5{stroke:var(--c5)}.line.c6{stroke:var(--c6)}
.spot{opacity:.45}.spot.c1{fill:var(--c1)}.column{opacity:.82}.column.c1{fill:var(--c1)}.column.c2{fill:var(--c2)}
.diagonal{stroke:var(--ink);stroke-width:1.4;stroke-dasharray:5 4;opacity:.75}
.tick.small{font-size:11px;paint-order:stroke;stroke:var(--card);
stroke-width:3px}
.dot{stroke:var(--card);stroke-width:1.5}.dot.c1{fill:var(--c1)}.dot.c2{fill:var(--c2)}.dot.c3{fill:var(--c3)}
.dot.c4{fill:var(--c4)}
.legend{font-weight:400;font-size:.84rem;color:var(--quiet);display:flex;flex-wrap:wrap;gap:2px 12px}
.key.faint i{opacity:.38}.key i{display:inline-block;width:14px;height:3px;border-radius:2px;margin-right:5px;
vertical-align:middle}
.c1>i,.part.c1{background:var(--c1)}.c2>i,.part.c2{background:var(--c2)}.c3>i,.part.c3{background:var(--c3)}
.c4>i,.part.c4{background:var(--c4)}.c5>i{background:var(--c5)}.c6>i{background:var(--c6)}
.times{display:flex;height:14px;border-radius:7px;overflow:hidden;background:var(--soft);margin:4px 0 8px;gap:2px}
.question{margin-top:12px}.question .asked{font-weight:600}
.passage{margin:8px 0 10px;padding-left:12px;border-left:3px solid var(--line);white-space:pre-line;
overflow-wrap:anywhere}
mark{border-radius:4px;padding:1px 0;color:inherit}
section>.grid+p.quiet{margin-top:14px}p.quiet>mark{padding:1px 6px;margin-right:6px}
mark.gold{background:var(--gold);color:var(--gold-ink);text-decoration:underline;text-underline-offset:3px}
mark.predicted{background:var(--pred);color:var(--pred-ink);font-weight:600}
mark.gold.predicted{background:var(--both);color:var(--both-ink)}
mark.wrong{background:var(--wrong);color:var(--wrong-ink);text-decoration:underline wavy;text-underline-offset:3px}
mark sub{font-size:.7em;font-weight:600;margin-left:4px;opacity:.85;text-decoration:none;display:inline-block;
vertical-align:baseline}
.confusion{width:auto;border-collapse:separate;border-spacing:2px;margin-top:6px}
.confusion th,.confusion td{border:0;padding:6px 9px;text-align:center;min-width:44px}
.confusion thead th{font-size:.86rem}
.confusion.upright thead th:not(:first-child):not(.sum) span{writing-mode:vertical-rl;
transform:rotate(180deg);text-align:left;max-height:150px;overflow-wrap:anywhere}
.confusion thead th:first-child{font-weight:400;font-size:.8rem;text-align:left;min-width:84px}
.confusion tbody th{text-align:left;max-width:220px;overflow-wrap:break-word;line-height:1.25}
.confusion.upright th,.confusion.upright td{padding:5px 4px;min-width:36px}
.confusion.upright tbody th:not(.short){min-width:8em}
.confusion td{border-radius:5px}.confusion .sum{color:var(--quiet);font-weight:400}
.confusion .right{background:rgb(var(--shade)/calc(var(--p,0)*.92 + .04))}
.confusion .wrong{background:rgb(var(--fault)/calc(var(--p,0)*.92 + .03))}
.confusion .strong{color:var(--strong);font-weight:600}.confusion .none{color:var(--quiet);background:var(--soft)}
.shares{list-style:none;margin:8px 0 4px;padding:0;display:grid;gap:6px}
.share{display:grid;grid-template-columns:minmax(90px,1fr) 30% 58px;gap:4px 12px;align-items:center;font-size:.93rem}
.share .name{overflow-wrap:anywhere}.share .much{text-align:right;font-variant-numeric:tabular-nums}
.share .track{background:var(--soft);border-radius:5px}.share .track i{display:block;height:9px;border-radius:5px;
background:var(--quiet);opacity:.55}
.share .badge{margin:0 0 0 4px}.share.predicted .track i{background:var(--c2);opacity:1}
.share.gold .track i{background:var(--c3);opacity:1}
.badge{display:inline-block;border-radius:999px;background:var(--soft);padding:1px 9px;font-size:.8rem;
margin-right:6px;
font-variant-numeric:tabular-nums}
footer{margin-top:44px;color:var(--quiet);font-size:.85rem}
a{color:var(--c1)}:focus-visible{outline:3px solid var(--c1);outline-offset:2px}
@media (max-width:560px){main{padding:20px 12px 40px}.card{padding:12px}th,td{padding:6px 5px}.tick,
.axis{font-size:16px}.tick.small{font-size:13px}.share{grid-template-columns:1fr 58px}.share .track{grid-row:2;
grid-column:1/3}
.tile .value{font-size:1.65rem}.groups td.bar,.groups thead th:last-child{display:none}
.groups table{font-size:.8rem}.groups td,.groups th{padding:6px 3px}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:6px}}
@media print{body{background:#fff}.card,.chart{break-inside:avoid}details>*{display:block}}
"""

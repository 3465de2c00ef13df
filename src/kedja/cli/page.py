"""The HTML around a report's sections, and how it looks: light and dark, wide and narrow, on paper."""

from __future__ import annotations

__all__ = ["page"]

# Blue and orange are told apart by every common kind of colour vision; validation lines are dashed as well.
STYLE = """
:root{color-scheme:light dark;--paper:#fff;--soft:#f6f7f9;--ink:#1c2430;--quiet:#5d6876;--line:#e2e6eb;
--blue:#2468b4;--orange:#c8640a;--blue-rgb:36 104 180;--orange-rgb:213 112 11;--on-strong:#fff}
@media (prefers-color-scheme:dark){:root{--paper:#14181d;--soft:#1c2229;--ink:#e4e8ed;--quiet:#98a4b2;--line:#2e363f;
--blue:#6cb0f5;--orange:#f5a04c;--blue-rgb:84 156 232;--orange-rgb:240 146 56;--on-strong:#0d1014}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue","Noto Sans","Liberation Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1000px;margin:0 auto;padding:56px 24px 80px}
header,h1,h2,h3,p,dl,dd,ul{margin:0}
.brand{font-size:.8rem;letter-spacing:.06em;color:var(--quiet)}
h1{font-size:2.1rem;line-height:1.2;letter-spacing:-.02em;margin:6px 0 8px;overflow-wrap:anywhere}
h2{font-size:1.3rem;line-height:1.3;letter-spacing:-.01em;margin-bottom:6px}
h3{font-size:.9rem;font-weight:600;color:var(--quiet);margin-bottom:6px}
time{white-space:nowrap}
.facts,.quiet{color:var(--quiet)}
.quiet{font-size:.92rem;max-width:44rem;margin-bottom:18px}
.lead{max-width:44rem;margin-top:26px}
section{margin-top:60px}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin-top:30px}
.tiles div{flex:1 1 150px;background:var(--soft);border-radius:10px;padding:14px 18px 12px}
.tiles dt{font-size:.85rem;color:var(--quiet);line-height:1.3}
.tiles dd{font-size:1.7rem;font-weight:600;letter-spacing:-.02em;line-height:1.35;overflow-wrap:anywhere}
.tiles div:first-child dd{color:var(--blue)}
small{font-size:.82em;color:var(--quiet);font-weight:400}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:30px 36px;margin-top:16px}
.charts>div{max-width:560px}
svg{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
svg text{fill:var(--ink)}
svg .tick{fill:var(--quiet)}
svg .heading{font-weight:600;font-size:13px}
svg .mid{text-anchor:middle}svg .end{text-anchor:end}
.grid{stroke:var(--line);fill:none}.axis{stroke:var(--quiet);stroke-opacity:.6;fill:none}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.line.s0{stroke:var(--blue)}.line.s1{stroke:var(--orange);stroke-dasharray:6 4}
.dot.s0,.point.s0,.bar.s0{fill:var(--blue)}.dot.s1{fill:var(--orange)}
.point{fill-opacity:.5}.bar{fill-opacity:.8}.point:hover,.bar:hover{fill-opacity:1}
.diagonal{stroke:var(--ink);stroke-opacity:.55;stroke-dasharray:4 4;fill:none}
.at{opacity:0}.at:hover{opacity:1}.at rect{fill:transparent}.at .rule{stroke:var(--quiet);stroke-opacity:.6}
.at .dot{stroke:var(--paper);stroke-width:1.5}
.wide{overflow-x:auto;margin-top:8px}
table{border-collapse:collapse;font-size:.92rem}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{padding:6px 14px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{padding-left:0}
thead th{font-weight:500;color:var(--quiet)}
th[scope=row],.words{text-align:left}
tbody th{font-weight:600}tfoot th,tfoot td{font-weight:600;border-bottom:0}
.wrong{color:var(--orange);font-weight:600}
.confusion th,.confusion td{border:0;padding:0 8px;height:34px;min-width:46px;text-align:center}
.confusion th[scope=row]{text-align:right;padding-right:12px;max-width:12rem;overflow:hidden;text-overflow:ellipsis}
.confusion thead th{max-width:9rem;overflow:hidden;text-overflow:ellipsis}
.confusion .corner{font-size:.8rem;color:var(--quiet);text-align:right;padding-right:12px}
.confusion td{border:2px solid var(--paper);border-radius:6px}
.confusion .hit{background:rgb(var(--blue-rgb)/var(--shade))}
.confusion .miss{background:rgb(var(--orange-rgb)/var(--shade))}
.confusion .strong{color:var(--on-strong);font-weight:600}.confusion .miss.strong{color:#10141a}
.confusion .none{color:var(--line)}
.heatmap{width:min(100%,640px);image-rendering:pixelated;border-radius:6px}
details{margin-top:26px}summary{cursor:pointer;color:var(--quiet);font-size:.92rem}
meter{width:64px;height:12px;vertical-align:-1px;margin-right:4px;appearance:none;border:0;border-radius:4px;
background:var(--line)}
meter::-webkit-meter-bar{background:var(--line);border:0;border-radius:4px;height:6px}
meter::-webkit-meter-optimum-value{background:var(--blue);border-radius:4px}
meter::-moz-meter-bar{background:var(--blue);border-radius:4px}
.gallery{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(84px,1fr));gap:18px 14px}
.gallery li{text-align:center;font-size:.88rem;line-height:1.35;overflow-wrap:anywhere}
.gallery img{display:block;width:100%;image-rendering:pixelated;border-radius:6px;background:#000;margin-bottom:6px}
.gallery small{display:block}
.network{margin:10px auto}
.edge{fill:none}.edge.plus{stroke:var(--blue)}.edge.minus{stroke:var(--orange)}
.edge:hover{stroke:var(--ink);stroke-opacity:1}
svg .weight{font-size:10.5px;paint-order:stroke;stroke:var(--paper);stroke-width:6px;
stroke-linejoin:round;pointer-events:none}
svg .weight.plus,.key.plus{fill:var(--blue);color:var(--blue)}
svg .weight.minus,.key.minus{fill:var(--orange);color:var(--orange)}
.unit{fill:var(--paper);stroke:var(--ink);stroke-width:1.4}
.tone{pointer-events:none}.tone.plus{fill:var(--blue)}.tone.minus{fill:var(--orange)}
svg .ellipsis{font-size:20px;fill:var(--quiet)}
.layers{margin-top:22px}
.settings{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:14px 24px;margin-top:14px}
.settings dt{font-size:.85rem;color:var(--quiet)}.settings dd{font-size:.95rem;overflow-wrap:anywhere}
.again{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:20px 24px;margin-top:14px}
.again>div{min-width:0}
pre{margin:0;background:var(--soft);border-radius:8px;padding:12px 16px;font-size:.88rem;line-height:1.5;
white-space:pre-wrap;overflow-wrap:anywhere}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
@media (max-width:600px){main{padding:30px 16px 56px}h1{font-size:1.6rem}section{margin-top:44px}
.tiles div{flex-basis:130px;padding:12px 14px 10px}.tiles dd{font-size:1.4rem}
.gallery{grid-template-columns:repeat(auto-fill,minmax(68px,1fr));gap:14px 10px}
.settings{grid-template-columns:repeat(auto-fill,minmax(140px,1fr))}th,td{padding:6px 9px}
meter{display:none}.confusion .corner{font-size:0;padding:0}.confusion th[scope=row]{padding-right:6px;max-width:6rem}
.confusion th,.confusion td{min-width:28px;height:30px;padding:0 2px;font-size:.82rem}}
@media print{:root{color-scheme:light}main{max-width:none;padding:0}section{break-inside:avoid}}
"""

# No script and no connection is ever needed, so the browser is told to allow none.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(title: str, body: str) -> str:
    """A whole HTML file; `title` and `body` are HTML already.

    >>> page("Run", "<p>done</p>").count("<p>done</p>")
    1
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )

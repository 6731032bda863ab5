/* The viewer: a film and its reconstructions, which are tiles of one video, drawn on canvases.

   Each frame of the video is drawn once to a canvas that is not seen, and from there tile by tile: all panes show parts of
   the same frame. The frame is known by the time of what was presented, never by the clock of the player. A seek goes to the
   middle of a frame. What was drawn from a video of file:// cannot be read back, so nothing here reads pixels.

   refilm.open(key): show a film, whose script calls refilm.film(). The state is in the hash of the address. */
"use strict";

const refilm = (() => {
  const $ = (id) => document.getElementById(id);
  const entries = JSON.parse($("entries").textContent);
  const video = $("video");
  let frame = document.createElement("canvas"); // the frame that is shown, as a whole
  let next = document.createElement("canvas"); // the one that is to be shown
  const VIEWS = ["panes", "wipe", "difference"];
  const MEASURES = ["ssim", "psnr", "colour", "motion"];
  const SPEEDS = [0.25, 0.5, 1, 2];
  const INTERVALS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // seconds between the marks of a time axis
  const MANY = 2000; // points of a curve, from which it is drawn without a line for each

  let film = null; // what is known of the film, as of refilm.film()
  let data = null; // its measures and shots
  let key = "";
  let names = []; // titles of the tiles
  let shots = []; // {start, end, ssim, psnr, motion}: means of the first reconstruction that is shown
  let plot = null;
  let drawn = -1; // the frame that is seen
  let goal = 0; // the frame that is wanted
  let taken = null; // of a loop: the frame that is in `next`, and when it was drawn there
  let shown = []; // tiles that are shown, in order
  let view = "panes";
  let wipe = 50; // percent of the width that the first tile has
  let loop = null; // [first, last]
  let address = location.hash; // as this viewer knows it

  // --- time

  const rate = () => film.fps[0] / film.fps[1];
  const last = () => film.frames - 1;
  const clamp = (n) => Math.max(0, Math.min(last(), n));
  const shotAt = (n) => shots.findLastIndex((shot) => shot.start <= n);

  const clock = (n) => {
    const seconds = n / rate();
    const part = (value, width) => String(Math.floor(value)).padStart(width, "0");
    const time = `${part((seconds / 60) % 60, 2)}:${part(seconds % 60, 2)}.${part((seconds * 1000) % 1000, 3)}`;
    return seconds < 3600 ? time : `${Math.floor(seconds / 3600)}:${time}`;
  };

  /* Show a frame. A seek that comes while another is under way waits for that; of several, the latest counts. */
  function go(n) {
    goal = clamp(n);
    if (!video.seeking && video.readyState > 0) seek();
    describe(goal);
    save();
  }

  function seek() {
    const time = (goal + 0.5) / rate();
    if (Math.abs(video.currentTime - time) > 1e-4) video.currentTime = time;
  }

  function presented(_now, metadata) {
    video.requestVideoFrameCallback(presented);
    if (film) draw(clamp(Math.round(metadata.mediaTime * rate())), metadata);
  }

  /* Draw frame n, which the video has by now. */
  function draw(n, metadata) {
    if (!video.paused && loop) {
      if (!video.seeking) drawInLoop(n, metadata);
      return;
    }
    taken = null;
    take();
    show(n);
  }

  /* The video may go on to the next frame before it is drawn. Beyond the end of the loop none is to be seen, so a frame is
     shown when the next one comes, which says since when the video has had it. */
  function drawInLoop(n, { presentedFrames, presentationTime }) {
    const within = n >= loop[0] && n <= loop[1];
    if (taken && (within || (presentedFrames === taken.count + 1 && presentationTime > taken.time + 1))) show(taken.n);
    taken = null;
    if (!within) return go(loop[0]);
    take();
    if (n < last()) taken = { n, count: presentedFrames, time: performance.now() };
    else show(n);
  }

  const take = () => next.getContext("2d").drawImage(video, 0, 0, next.width, next.height);

  /* Show the frame that was taken. */
  function show(n) {
    [frame, next] = [next, frame];
    drawn = n;
    if (!video.paused) goal = n;
    drawPanes();
    if (!video.paused) describe(n);
  }

  /* The words and positions that say which frame it is. */
  function describe(n) {
    $("scrub").value = n;
    $("scrub").setAttribute("aria-valuetext", `${clock(n)}, frame ${n + 1} of ${film.frames}`);
    $("clock").textContent = `${clock(n)} · frame ${(n + 1).toLocaleString("en")} of ${film.frames.toLocaleString("en")}`;
    placeHead(n);
    const shot = shotAt(n);
    for (const row of $("shots").querySelectorAll("[aria-current]")) row.removeAttribute("aria-current");
    $("shots").querySelector("tbody").rows[shot]?.setAttribute("aria-current", "true");
  }

  function play() {
    if (!video.paused) return video.pause();
    if (drawn >= last()) video.currentTime = 0;
    if (loop && (goal < loop[0] || goal >= loop[1])) go(loop[0]);
    video.play().catch((error) => problem(`This browser does not play the video: ${error.message}`));
  }

  function setLoop(range) {
    loop = range && range[0] < range[1] ? range : null;
    $("unloop").disabled = !loop;
    $("in").setAttribute("aria-pressed", Boolean(loop));
    $("out").setAttribute("aria-pressed", Boolean(loop));
    say(loop ? `Loop from ${clock(loop[0])} to ${clock(loop[1])}` : "No loop");
    placeHead(goal);
    save();
  }

  const loopFrom = (n) => setLoop([n, loop && loop[1] > n ? loop[1] : last()]);
  const loopTo = (n) => setLoop([loop && loop[0] < n ? loop[0] : 0, n]);

  function setSpeed(value) {
    video.playbackRate = video.defaultPlaybackRate = value;
    $("speed").value = String(value);
    save();
  }

  function mute() {
    video.muted = !video.muted;
    $("mute").setAttribute("aria-pressed", video.muted);
  }

  function fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else $("screen").requestFullscreen?.();
  }

  // --- panes

  function drawTile(context, tile) {
    const [width, height] = film.tile;
    context.drawImage(frame, ...film.places[tile], width, height, 0, 0, width, height);
  }

  function drawPanes() {
    for (const pane of $("panes").querySelectorAll("canvas")) {
      const context = pane.getContext("2d");
      const [one, other] = pane.tiles;
      context.globalCompositeOperation = "copy";
      drawTile(context, one);
      context.globalCompositeOperation = "source-over";
      if (view === "wipe" && other !== undefined) {
        const left = Math.round((film.tile[0] * wipe) / 100);
        const [x, y] = film.places[other];
        const width = film.tile[0] - left;
        if (width > 0) context.drawImage(frame, x + left, y, width, film.tile[1], left, 0, width, film.tile[1]);
      }
      if (view === "difference" && other !== undefined) {
        context.globalCompositeOperation = "difference";
        drawTile(context, other);
      }
    }
  }

  /* New canvases for the tiles that are shown: one for each, or one of two tiles. */
  function arrange() {
    const pair = view !== "panes" && shown.length > 1;
    const groups = pair ? [shown.slice(0, 2)] : shown.map((tile) => [tile]);
    const figures = groups.map((tiles) => {
      const figure = make("figure");
      const canvas = make("canvas");
      [canvas.width, canvas.height] = film.tile;
      canvas.tiles = tiles;
      canvas.className = pair ? view : "panes";
      canvas.setAttribute("role", "img");
      const titles = tiles.map((tile) => names[tile]);
      const title = pair && view === "difference" ? `Difference of ${titles.join(" and ")}` : titles.join(" | ");
      canvas.setAttribute("aria-label", title);
      const box = make("div");
      box.className = "picture";
      box.append(canvas);
      figure.append(box);
      if (pair && view === "wipe") {
        figure.append(wipeSlider());
        figure.style.setProperty("--wipe", `${wipe}%`);
      }
      figure.append(make("figcaption", title));
      return figure;
    });
    $("panes").replaceChildren(...figures);
    fit();
    drawPanes();
    for (const button of document.querySelectorAll("[data-view]")) {
      button.setAttribute("aria-pressed", button.dataset.view === view);
      button.disabled = button.dataset.view !== "panes" && shown.length < 2;
    }
    for (const button of $("choice").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", shown.includes(Number(button.dataset.tile)));
    }
  }

  function wipeSlider() {
    const slider = make("input");
    Object.assign(slider, { type: "range", min: 0, max: 100, step: 0.5, value: wipe, id: "wipe" });
    slider.setAttribute("aria-label", "Wipe: percent of the first picture");
    slider.addEventListener("input", () => setWipe(Number(slider.value)));
    return slider;
  }

  function setWipe(value) {
    wipe = Math.max(0, Math.min(100, value));
    if ($("wipe")) {
      $("wipe").value = wipe;
      $("wipe").parentElement.style.setProperty("--wipe", `${wipe}%`);
    }
    drawPanes();
    save();
  }

  /* The number of columns that gives the largest pictures. */
  function fit() {
    const panes = $("panes");
    const count = panes.children.length;
    const full = document.fullscreenElement === $("screen");
    const width = panes.clientWidth;
    const height = (full ? window.innerHeight : window.innerHeight * 0.72) - 16;
    const caption = (full ? 0 : 28) + (view === "wipe" ? 44 : 0);
    let best = 0;
    for (let columns = 1; columns <= count; columns++) {
      const rows = Math.ceil(count / columns);
      const across = (width - (columns - 1) * 12) / columns;
      const down = ((height / rows - caption - 12) * film.tile[0]) / film.tile[1];
      // Half the width of the window is enough to scroll for.
      const size = Math.min(across, Math.max(down, Math.min(across, 220)));
      if (size > best) {
        best = size;
        panes.style.setProperty("--pane", `${Math.floor(size)}px`);
        panes.style.setProperty("--columns", columns);
      }
    }
  }

  function setView(name) {
    view = name;
    if (view !== "panes" && shown.length < 2) toggleTiles([0, shown.find((tile) => tile > 0) ?? 1]);
    arrange();
    save();
  }

  function toggleTiles(tiles) {
    shown = tiles.filter((tile) => tile < names.length);
    if (!shown.length) shown = [0];
    if (shown.length < 2) view = "panes";
    measureShots();
    arrange();
    drawPlot();
    save();
  }

  const toggleTile = (tile) => {
    if (tile < names.length) toggleTiles(names.map((_name, n) => n).filter((n) => shown.includes(n) !== (n === tile)));
  };

  // --- measures and shots

  const focus = () => shown.find((tile) => tile > 0) ?? 1;

  function mean(values, start, end) {
    const known = (values ?? []).slice(start, end).filter((value) => value !== null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  }

  function measureShots() {
    shots = data.shots.map((start, n) => {
      const end = data.shots[n + 1] ?? film.frames;
      const of = (name, tile, first = start) => mean(data[name][tile], first, end);
      return { start, end, ssim: of("ssim", focus()), psnr: of("psnr", focus()), motion: of("motion", 0, start + 1) };
    });
    const text = (value, digits) => (value === null ? "–" : value.toFixed(digits));
    const rows = shots.map((shot, n) => {
      const row = make("tr");
      const head = make("th");
      head.scope = "row";
      const button = make("button", `${n + 1}`);
      button.type = "button";
      button.setAttribute("aria-label", `Shot ${n + 1} at ${clock(shot.start)}`);
      button.addEventListener("click", () => go(shot.start));
      head.append(button, make("span", clock(shot.start)));
      const length = `${((shot.end - shot.start) / rate()).toFixed(1)} s`;
      const cells = [length, text(shot.ssim, 2), text(shot.psnr, 1), text(shot.motion, 1)];
      row.append(head, ...cells.map((cell) => make("td", cell)));
      return row;
    });
    $("shots").querySelector("tbody").replaceChildren(...rows);
    $("shots").querySelector("caption").textContent = `Shots, ${names[focus()]}`;
  }

  function extreme(name) {
    const [measure, sign] = { best: ["ssim", 1], worst: ["ssim", -1], moving: ["motion", 1], still: ["motion", -1] }[name];
    const known = shots.filter((shot) => shot[measure] !== null);
    if (!known.length) return;
    const found = known.reduce((a, b) => (sign * b[measure] > sign * a[measure] ? b : a));
    const words = measure === "ssim" ? `SSIM ${found.ssim.toFixed(2)}` : `motion ${found.motion.toFixed(1)} grey levels`;
    go(found.start);
    say(`Shot ${shots.indexOf(found) + 1} of ${shots.length}, ${words}`);
  }

  function goShot(step) {
    const at = shotAt(goal);
    if (step < 0 && goal > shots[at].start) go(shots[at].start);
    else if (shots[at + step]) go(shots[at + step].start);
  }

  function loopShot() {
    const shot = shots[shotAt(goal)];
    setLoop([shot.start, shot.end - 1]);
  }

  /* Marks of a time axis; of a short film with tenths of a second. */
  const times = (_plot, ticks) => ticks.map((time) => clock(time * rate()).slice(0, ticks.some((one) => one % 1) ? -2 : -4));

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function drawPlot() {
    const name = $("measure").value;
    const curves = shown.filter((tile) => data[name][tile]);
    const series = curves.map((tile) => ({
      label: names[tile],
      stroke: colour(`--series-${tile % 6}`),
      width: film.frames > MANY ? 1 : 1.5,
      points: { show: false },
      spanGaps: true,
    }));
    const ink = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    plot?.destroy();
    plot = null;
    plot = new uPlot(
      {
        width: $("plot").clientWidth || 300,
        height: 220,
        scales: { x: { time: false } },
        legend: { live: false },
        cursor: { y: false, points: { show: false } },
        axes: [{ ...ink, incs: INTERVALS, values: times }, { ...ink, size: 48 }],
        series: [{ label: "Seconds" }, ...series],
        hooks: { drawClear: [drawBands], setScale: [() => placeHead(goal)] },
      },
      [Array.from({ length: film.frames }, (_value, n) => n / rate()), ...curves.map((tile) => data[name][tile])],
      $("plot"),
    );
    plot.root.setAttribute("role", "img");
    plot.root.setAttribute("aria-label", `${$("measure").selectedOptions[0].text} over time; the table of shots has it in numbers`);
    listen(plot);
    placeHead(goal);
  }

  /* Every second shot has a ground of its own. */
  function drawBands(u) {
    const { left, top, width, height } = u.bbox;
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, top, width, height);
    u.ctx.clip();
    u.ctx.fillStyle = colour("--band");
    shots.forEach((shot, n) => {
      const from = u.valToPos(shot.start / rate(), "x", true);
      if (n % 2) u.ctx.fillRect(from, top, u.valToPos(shot.end / rate(), "x", true) - from, height);
    });
    u.ctx.restore();
  }

  /* A click in the plot goes there; a drag enlarges. */
  function listen(u) {
    let from = 0;
    for (const id of ["head", "looped"]) {
      const mark = make("div");
      mark.className = id;
      u.over.append(mark);
    }
    u.over.addEventListener("pointerdown", (event) => (from = event.clientX));
    u.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - from) < 4) go(Math.round(u.posToVal(event.clientX - u.over.getBoundingClientRect().left, "x") * rate()));
    });
  }

  function placeHead(n) {
    if (!plot) return;
    const place = (at) => plot.valToPos(at / rate(), "x");
    plot.over.querySelector(".head").style.transform = `translateX(${place(n)}px)`;
    const looped = plot.over.querySelector(".looped");
    looped.hidden = !loop;
    if (loop) Object.assign(looped.style, { left: `${place(loop[0])}px`, width: `${place(loop[1]) - place(loop[0])}px` });
  }

  // --- the address

  const tileName = (tile) => (tile ? film.models[tile - 1] : "original");

  function save() {
    if (!film) return;
    const values = { film: key, frame: goal, panes: shown.map(tileName).join(",") };
    if (view !== "panes") values.view = view;
    if (view === "wipe") values.wipe = wipe;
    if (video.playbackRate !== 1) values.speed = video.playbackRate;
    if (loop) values.loop = loop.join("-");
    if ($("measure").value !== "ssim") values.measure = $("measure").value;
    const hash = `#${Object.entries(values).map(([name, value]) => `${name}=${encodeURI(value)}`).join("&")}`;
    clearTimeout(save.timer); // browsers allow some hundred changes in half a minute
    save.timer = setTimeout(() => {
      if (hash === address || location.hash !== address) return; // of a link just followed, the event is still to come
      history.replaceState(null, "", hash);
      address = location.hash;
    }, 200);
  }

  function restore() {
    address = location.hash;
    const hash = new URLSearchParams(location.hash.slice(1));
    const number = (name, usual) => (Number.isFinite(parseFloat(hash.get(name))) ? parseFloat(hash.get(name)) : usual);
    const wanted = (hash.get("panes") ?? "").split(",");
    const tiles = names.map((_name, n) => n).filter((tile) => wanted.includes(tileName(tile)));
    shown = tiles.length ? tiles : names.map((_name, n) => n);
    view = VIEWS.includes(hash.get("view")) && shown.length > 1 ? hash.get("view") : "panes";
    wipe = Math.max(0, Math.min(100, number("wipe", 50)));
    $("measure").value = MEASURES.includes(hash.get("measure")) ? hash.get("measure") : "ssim";
    const [first, end] = (hash.get("loop") ?? "").split("-").map(Number);
    loop = first >= 0 && end <= last() && first < end ? [Math.round(first), Math.round(end)] : null;
    goal = clamp(Math.round(number("frame", loop ? loop[0] : 0)));
    const speed = number("speed", 1);
    video.playbackRate = video.defaultPlaybackRate = SPEEDS.includes(speed) ? speed : 1;
    $("speed").value = String(video.playbackRate);
    $("unloop").disabled = !loop;
  }

  // --- opening

  function make(tag, text) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function say(text) {
    $("status").textContent = text;
  }

  function problem(text) {
    $("problem").textContent = text;
    $("problem").hidden = !text;
  }

  const films = {}; // descriptions and measures, by key

  function open(wanted) {
    if (!Object.hasOwn(entries, wanted)) return false;
    if (wanted === key && film) {
      restore();
      toggleTiles(shown);
      go(goal);
      return true;
    }
    close();
    key = wanted;
    if (films[key]) begin();
    else {
      const script = make("script");
      script.src = `films/${key}.js`;
      script.addEventListener("error", () => problem(`films/${key}.js is missing: copy the folder of this page as a whole.`));
      document.head.append(script);
    }
    return true;
  }

  function close() {
    video.pause();
    clearTimeout(save.timer);
    [film, data, key, drawn] = [null, null, "", -1];
    plot?.destroy();
    plot = null;
    problem("");
    say("");
  }

  function begin() {
    [film, data] = films[key];
    const entry = entries[key];
    names = ["Original", ...film.models.map((model) => entry.models[model] ?? model)];
    document.title = `${entry.title} · refilm`;
    $("title").textContent = entry.title;
    $("viewer").hidden = false;
    const seconds = Math.round(film.frames / rate());
    $("subtitle").textContent = `${film.frames.toLocaleString("en")} frames, ${seconds} s, ${data.shots.length} shot${data.shots.length === 1 ? "" : "s"}`;
    linkSizes();
    for (const canvas of [frame, next]) [canvas.width, canvas.height] = film.size;
    $("scrub").max = last();
    const buttons = names.map((name, tile) => {
      const button = make("button");
      button.type = "button";
      button.dataset.tile = tile;
      button.append(make("kbd", tile < 10 ? `${tile}` : ""), make("span", name));
      button.addEventListener("click", () => toggleTile(tile));
      return button;
    });
    $("choice").replaceChildren(make("legend", "Shown"), ...buttons);
    restore();
    toggleTiles(shown);
    video.src = api.video ?? `films/${key}.mp4`;
    go(goal);
    $("title").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }

  /* Reconstructions of other frame sizes are in other videos, which cannot be in step with this one. */
  function linkSizes() {
    const [size, name] = key.split("/");
    const others = Object.keys(entries).filter((other) => other !== key && other.split("/")[1] === name);
    $("sizes").hidden = !name || !others.length;
    const links = others.map((other) => {
      const link = make("a", `${other.split("/")[0]}: ${Object.values(entries[other].models).join(", ")}`);
      link.className = "link";
      link.addEventListener("click", () => (link.href = `#film=${other}&frame=${goal}`));
      link.href = `#film=${other}`;
      return link;
    });
    $("sizes").replaceChildren(`These are frames of ${size}. Of other sizes, not side by side: `, ...links);
  }

  // --- events

  const KEYS = {
    " ": play, k: play,
    ",": () => (video.pause(), go(goal - 1)), ".": () => (video.pause(), go(goal + 1)),
    arrowleft: () => go(goal - Math.round(rate())), arrowright: () => go(goal + Math.round(rate())),
    j: () => go(goal - Math.round(10 * rate())), l: () => go(goal + Math.round(10 * rate())),
    home: () => go(0), end: () => go(last()),
    "<": () => setSpeed(SPEEDS[Math.max(0, SPEEDS.indexOf(video.playbackRate) - 1)]),
    ">": () => setSpeed(SPEEDS[Math.min(3, SPEEDS.indexOf(video.playbackRate) + 1)]),
    "[": () => loopFrom(goal), "]": () => loopTo(goal), "\\": () => setLoop(null), r: loopShot,
    p: () => goShot(-1), n: () => goShot(1),
    s: () => setView("panes"), w: () => setView("wipe"), d: () => setView("difference"),
    "-": () => setWipe(wipe - 5), "+": () => setWipe(wipe + 5), "=": () => setWipe(wipe + 5),
    m: mute, f: fullScreen, "?": () => $("help").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (!film || event.ctrlKey || event.altKey || event.metaKey || $("help").open) return;
    if (target.matches("select, input[type=search]")) return;
    const name = event.key.toLowerCase();
    if (target.matches("input[type=range]") && /^(arrow|home|end|page)/.test(name)) return;
    if (target.matches("#shots") && /^(home|end)$/.test(name)) return;
    if (target.matches("button, a") && name === " ") return;
    const action = /^\d$/.test(name) ? () => toggleTile(Number(name)) : KEYS[name];
    if (!action) return;
    event.preventDefault();
    action();
  });

  for (const [id, action] of Object.entries({
    play, mute, full: fullScreen, unloop: () => setLoop(null), in: () => loopFrom(goal), out: () => loopTo(goal),
    before: KEYS[","], after: KEYS["."], "loop-shot": loopShot, keys: KEYS["?"],
  })) $(id).addEventListener("click", action);
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => setView(button.dataset.view));
  for (const button of document.querySelectorAll("[data-shot]")) button.addEventListener("click", () => extreme(button.dataset.shot));
  $("scrub").addEventListener("input", () => go(Number($("scrub").value)));
  $("speed").addEventListener("change", () => setSpeed(Number($("speed").value)));
  $("measure").addEventListener("change", () => (drawPlot(), save()));

  /* A wipe follows the pointer; a click on a picture plays or pauses. */
  const wipeTo = (event) => {
    const box = event.target.getBoundingClientRect();
    setWipe((100 * (event.clientX - box.left)) / box.width);
  };
  $("panes").addEventListener("pointerdown", (event) => {
    if (event.target.matches("canvas.wipe")) wipeTo(event);
    else if (event.target.matches("canvas")) play();
  });
  $("panes").addEventListener("pointermove", (event) => {
    if (event.buttons && event.target.matches("canvas.wipe")) wipeTo(event);
  });

  function playing() {
    $("screen").classList.toggle("paused", video.paused);
    $("play").textContent = video.paused ? "▶" : "❚❚";
    $("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
    if (video.paused && film) go(goal); // exactly the frame that is named
  }
  video.addEventListener("play", playing);
  video.addEventListener("pause", playing);
  video.addEventListener("ended", () => (loop ? (go(loop[0]), video.play()) : playing()));
  video.addEventListener("loadedmetadata", () => film && seek());
  video.addEventListener("seeked", () => {
    if (film && video.paused && Math.abs(video.currentTime - (goal + 0.5) / rate()) > 1e-4) seek();
  });
  video.addEventListener("error", () => film && problem(`The video cannot be played (${video.error.message || "error " + video.error.code}).`));
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(presented);
  else {
    const repeat = () => {
      if (film && video.readyState > 1) draw(clamp(Math.floor(video.currentTime * rate() + 1e-3)), {});
      requestAnimationFrame(repeat);
    };
    repeat();
  }

  const resize = () => {
    if (!film) return;
    fit();
    plot?.setSize({ width: $("plot").clientWidth, height: 220 });
    placeHead(goal);
  };
  new ResizeObserver(resize).observe($("viewer"));
  document.addEventListener("fullscreenchange", resize);
  window.addEventListener("resize", resize);
  window.addEventListener("hashchange", () => api.video && open(key)); // the page of all films has a handler of its own
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => film && drawPlot());

  const api = {
    open,
    close,
    video: null, // the address of the video, where that is not beside the script
    film(name, described, measures) {
      films[name] = [described, measures];
      if (api.video) key = name;
      if (name === key) begin();
    },
  };
  return api;
})();

// How far what a viewer sees is behind what was filmed: each picture carries the time at which it was made, as bars of black
// and white, and the page's own player shows it. Says the figures as JSON.
import { spawn } from 'node:child_process';
import { need, open, tellAll, untilPicture } from './browser.mjs';

const BITS = 16;
const WRAP = 2 ** BITS;
const seconds = Number(process.env.TALLY_SECONDS ?? 300);

// The time of day in milliseconds, the lowest bit at the left; taken once for each picture, in its first corner.
const clock =
  `if(eq(X+Y,0),st(0,mod(floor(time(0)*1000),${WRAP})),0);255*mod(floor(ld(0)/pow(2,floor(X*${BITS}/W))),2)`;
const publisher = spawn(
  'ffmpeg',
  [
    ...'-nostdin -loglevel fatal -filter_threads 1 -filter_complex_threads 1 -re -f lavfi -i'.split(' '),
    'testsrc2=size=640x344:rate=30',
    ...'-f lavfi -i'.split(' '),
    'color=black:size=640x16:rate=30',
    ...'-f lavfi -i sine=frequency=440:sample_rate=44100 -filter_complex'.split(' '),
    `[1:v]format=gray,geq=lum='${clock}',format=yuv420p[bars];[0:v][bars]vstack[v]`,
    ...'-map [v] -map 2:a -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 30'.split(' '),
    ...'-keyint_min 30 -sc_threshold 0 -b:v 800k -c:a aac -b:a 64k -f flv'.split(' '),
    `${need('TALLY_RTMP_URL')}/${need('TALLY_STREAM_KEY')}`,
  ],
  { stdio: 'ignore' },
);
const pages = {};

/** Looks at the picture every quarter of a second: how old it is, and how often it stood still for longer than half a one. */
const watched = (seconds) =>
  pages.viewer.evaluate(
    async ({ seconds, BITS, WRAP }) => {
      const video = document.querySelector('video');
      const canvas = document.createElement('canvas');
      const [width, height] = [(canvas.width = video.videoWidth), (canvas.height = 1)];
      const context = canvas.getContext('2d', { willReadFrequently: true });
      const ages = [];
      let [at, stalls, still] = [-1, 0, 0];
      for (let looks = 0; looks < seconds * 4; looks++) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        context.drawImage(video, 0, video.videoHeight - 8, width, 1, 0, 0, width, height);
        const { data } = context.getImageData(0, 0, width, height);
        let made = 0;
        for (let bit = 0; bit < BITS; bit++) {
          const middle = Math.floor(((bit + 0.5) * width) / BITS);
          if (data[middle * 4] > 127) made += 2 ** bit;
        }
        ages.push((Date.now() - made + WRAP * 1e9) % WRAP);
        still = video.currentTime === at ? still + 1 : 0;
        if (still === 2) stalls++;
        at = video.currentTime;
      }
      return { ages, stalls };
    },
    { seconds, BITS, WRAP },
  );

await tellAll(
  {
    'it plays': async () => {
      pages.viewer = await open(`/view/${need('TALLY_LOC')}/`);
      await untilPicture(pages.viewer);
    },
    [`for ${seconds} s`]: async () => {
      const { ages, stalls } = await watched(seconds);
      ages.sort((one, other) => one - other);
      const of = (share) => ages[Math.floor(share * (ages.length - 1))] / 1000;
      const [least, median, p95, most] = [0, 0.5, 0.95, 1].map(of);
      console.log(JSON.stringify({ seconds, least, median, p95, most, stalls }));
    },
  },
  pages,
  () => publisher.kill('SIGKILL'),
);

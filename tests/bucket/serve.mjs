// Serves the bucket `site` out of a directory: node serve.mjs PORT DIRECTORY. Keys are S3RVER and S3RVER.

import S3rver from 's3rver'

const [port, directory] = process.argv.slice(2)
const server = new S3rver({
  address: '127.0.0.1',
  port: Number(port),
  directory,
  silent: true,
  configureBuckets: [{ name: 'site' }],
})
await server.run()

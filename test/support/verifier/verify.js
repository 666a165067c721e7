// Verifies requests with the published receiver library: one JSON object a line on standard
// input, {"secret","headers","body"} (the body in base64); prints how many were genuine.
// NODE_PATH says where the library is.
const readline = require('readline')
const { Webhook } = require('standardwebhooks')

const lines = readline.createInterface({ input: process.stdin })
let count = 0

lines.on('line', (line) => {
  const { secret, headers, body } = JSON.parse(line)
  new Webhook(secret).verify(Buffer.from(body, 'base64').toString('utf8'), headers) // throws
  count++
})
lines.on('close', () => console.log(count))

// SPDX-License-Identifier: GPL-2.0-or-later
// An application with a pool of Node's mysql2; the last argument is its keepAliveInitialDelay.
const mysql = require("mysql2");
const [port, user, password, delay] = process.argv.slice(2);
const pool = mysql.createPool({
	host: "127.0.0.1", port: Number(port), user, password, keepAliveInitialDelay: Number(delay),
});
pool.query("SELECT 1", (error) => {
	if (error) throw error;
	setTimeout(() => process.exit(), 60000);
});

// SPDX-License-Identifier: Apache-2.0

import java.sql.*;
import java.util.*;

/** Speaks to the TDS peer with Microsoft's driver and prints what it saw as one JSON object: Client PORT PASSWORD (TRUSTSTORE|-). */
public class Client {
    static String quote(Object o) {
        if (o == null || o instanceof Number || o instanceof Boolean) return String.valueOf(o);
        if (o instanceof List) {
            StringJoiner j = new StringJoiner(", ", "[", "]");
            for (Object x : (List<?>) o) j.add(quote(x));
            return j.toString();
        }
        StringBuilder b = new StringBuilder("\"");
        for (char c : o.toString().toCharArray()) {
            b.append(c == '"' || c == '\\' ? "\\" + c : c < 128 && c >= 32 ? "" + c : String.format("\\u%04x", (int) c));
        }
        return b.append('"').toString();
    }

    static String hex(byte[] raw) {
        StringBuilder b = new StringBuilder();
        for (byte x : raw) b.append(String.format("%02x", x));
        return b.toString();
    }

    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put("user", "tenon");
        p.put("password", args[1]);
        p.put("databaseName", "tenon");
        p.put("encrypt", args[2].equals("-") ? "false" : "true");
        if (!args[2].equals("-")) {
            p.put("trustStore", args[2]);
            p.put("trustStorePassword", "changeit");
        }
        p.put("loginTimeout", "10");
        Map<String, Object> out = new LinkedHashMap<>();
        try (Connection c = DriverManager.getConnection("jdbc:sqlserver://localhost:" + args[0], p); Statement s = c.createStatement()) {
            ResultSet r = s.executeQuery("SELECT 1, N'a\u6570\ud83d\ude00', CAST(1.5 AS decimal(5,2)), CAST('2026-01-02 03:04:05.123' AS datetime2(3)), NULL, 0x00ff");
            r.next();
            out.put("values", Arrays.asList(r.getInt(1), r.getString(2), r.getBigDecimal(3).toPlainString(), r.getTimestamp(4).toString(), r.getObject(5), hex(r.getBytes(6))));
            s.executeUpdate("DROP TABLE IF EXISTS java");
            s.executeUpdate("CREATE TABLE java (id int PRIMARY KEY, name nvarchar(50), price decimal(10,2))");
            try (PreparedStatement q = c.prepareStatement("INSERT INTO java VALUES (?, ?, ?), (?, ?, ?)")) {
                q.setInt(1, 1);
                q.setString(2, "x");
                q.setBigDecimal(3, new java.math.BigDecimal("1.10"));
                q.setInt(4, 2);
                q.setString(5, "it's");
                q.setNull(6, Types.DECIMAL);
                out.put("changed", q.executeUpdate());
            }
            try (PreparedStatement q = c.prepareStatement("SELECT id, name, price FROM java WHERE name = ?")) {
                for (int i = 0; i < 2; i++) {
                    q.setString(1, "it's");
                    r = q.executeQuery();
                    r.next();
                    out.put("bound", Arrays.asList(r.getInt(1), r.getString(2), r.getObject(3)));
                }
            }
            List<Object> codes = new ArrayList<>();
            for (String line : new String[] {"SELECT * FROM nowhere", "SELECT FROM WHERE", "INSERT INTO java VALUES (1, NULL, NULL)"}) {
                try {
                    s.execute(line);
                } catch (SQLException e) {
                    codes.add(e.getErrorCode());
                }
            }
            out.put("errors", codes);
            List<Object> results = new ArrayList<>();
            for (boolean more = s.execute("SELECT 1 AS a; SELECT 2 AS b"); more; more = s.getMoreResults()) {
                List<Object> one = new ArrayList<>();
                for (r = s.getResultSet(); r.next();) one.add(r.getInt(1));
                results.add(one);
            }
            out.put("results", results);
            String text = "\u6570".repeat(100000);
            try (PreparedStatement q = c.prepareStatement("SELECT CAST(? AS nvarchar(max))")) {
                q.setString(1, text);
                r = q.executeQuery();
                r.next();
                out.put("large", r.getString(1).length());
                out.put("unicode", r.getString(1).equals(text));
            }
            c.setAutoCommit(false);
            s.executeUpdate("UPDATE java SET name = N'gone'");
            c.rollback();
            s.executeUpdate("DELETE FROM java WHERE id = 2");
            s.executeUpdate("UPDATE java SET name = N'a'");
            c.commit();
            c.setAutoCommit(true);
            r = s.executeQuery("SELECT name FROM java");
            r.next();
            out.put("committed", Arrays.asList(r.getString(1)));
            s.setQueryTimeout(1);
            long started = System.nanoTime();
            boolean stopped = false;
            try {
                s.execute("WAITFOR DELAY '00:00:20'");
            } catch (SQLException e) {
                stopped = System.nanoTime() - started < 10_000_000_000L;
            }
            r = s.executeQuery("SELECT 1");
            out.put("stopped", stopped && r.next());
        }
        StringJoiner j = new StringJoiner(", ", "{", "}");
        out.forEach((k, v) -> j.add(quote(k) + ": " + quote(v)));
        System.out.println(j);
    }
}

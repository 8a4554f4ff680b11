// A client as those of the Java server are, for migration.sh: no certificate of its own, trusts any chain of exactly one
// certificate, sends its body with tabs and line feeds and no type, keeps its connection, and reads the body whatever the
// status is. One request a line on standard input: protocol, spki, method, hash ("-": none), input, by blanks. Prints status
// and body of each.
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

public class MigrationClient {
    static class OneCertificate implements X509TrustManager {
        public void checkClientTrusted(X509Certificate[] chain, String type) {
        }

        public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
            if (chain.length != 1)
                throw new CertificateException("chain of " + chain.length);
        }

        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }

    static String member(String name, String value, boolean last) {
        return "\t\"" + name + "\": \"" + value + "\"" + (last ? "\n" : ",\n");
    }

    static String ask(URL url, SSLContext tls, String[] words) throws Exception {
        HttpsURLConnection c = (HttpsURLConnection) url.openConnection();
        c.setSSLSocketFactory(tls.getSocketFactory());
        c.setHostnameVerifier((host, session) -> true);
        c.setRequestMethod("POST");
        c.setDoOutput(true);
        String body = "{\n" + member("protocol", words[0].replace('_', ' '), false) + member("spki", words[1], false)
                + member("method", words[2], false) + (words[3].equals("-") ? "" : member("hash", words[3], false))
                + member("input", words[4], true) + "}\n";
        c.getOutputStream().write(body.getBytes(StandardCharsets.US_ASCII));
        int status = c.getResponseCode();
        InputStream in = status < 400 ? c.getInputStream() : c.getErrorStream();
        return status + " " + new String(in.readAllBytes(), StandardCharsets.US_ASCII).trim();
    }

    public static void main(String[] args) throws Exception {
        SSLContext tls = SSLContext.getInstance(args[1]);
        tls.init(null, new TrustManager[] {new OneCertificate()}, null);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;)
            System.out.println(ask(new URL(args[0]), tls, line.split(" ")));
    }
}
